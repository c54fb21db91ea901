// The same, and the headers that Splitway sets on both ways: who asked, and who served. Still by hand, and with
// nothing else of what Splitway does.

export default {
  async fetch(request, { ORIGIN }) {
    const { protocol, host, port, pathname, search } = new URL(request.url);
    const version = Math.random() < 0.5 ? "v1" : "v2";
    const headers = new Headers(request.headers);
    const client = headers.get("cf-connecting-ip") ?? "";
    const hops = headers.get("x-forwarded-for");
    headers.set("x-forwarded-for", hops ? `${hops}, ${client}` : client);
    headers.set("x-real-ip", client);
    headers.set("x-forwarded-host", host);
    headers.set("x-forwarded-port", port || (protocol === "https:" ? "443" : "80"));
    headers.set("x-forwarded-proto", protocol.slice(0, -1));
    const { method, body } = request;
    const url = `${ORIGIN}/${version}${pathname}${search}`;
    const response = await fetch(url, { method, headers, body, redirect: "manual" });
    const relayed = new Response(response.body, response);
    relayed.headers.set("x-splitway-route", "chat");
    relayed.headers.set("x-splitway-branch", version);
    relayed.headers.set("x-splitway-revision", "1");
    return relayed;
  },
};
