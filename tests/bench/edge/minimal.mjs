// The least that splits and rewrites as the guide does, by hand: what Splitway is measured against.

export default {
  fetch(request, { ORIGIN }) {
    const { pathname, search } = new URL(request.url);
    const version = Math.random() < 0.5 ? "v1" : "v2";
    const { method, headers, body } = request;
    return fetch(`${ORIGIN}/${version}${pathname}${search}`, { method, headers, body, redirect: "manual" });
  },
};
