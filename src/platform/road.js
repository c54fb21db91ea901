// What a request costs on its way is mostly the going back and forth between wasm and JavaScript, and the texts
// that are copied each time. So what goes along at the same time does so in one text, line by line: nothing in
// a head has a line break in it.

/// Stands for what is not there.
const NOTHING = "\0";

/// The hop-by-hop headers that are not the runtime's own business. Their names are those of `HOP_BY_HOP` in the
/// core, but for what the runtime removes by itself when it sends.
const LEFT = ["expect", "proxy-authenticate", "proxy-authorization", "proxy-connection", "upgrade"];

const lines = (headers, names) => {
  let text = "";
  for (const name of names) text += `\n${headers.get(name) ?? NOTHING}`;
  return text;
};

/// What is asked about every request.
const ASKED = ["cf-connecting-ip", "x-forwarded-for", "connection"];

/// Method, URL and what is asked about every request.
export function opening(request) {
  return `${request.method}\n${request.url}${lines(request.headers, ASKED)}`;
}

/// What is asked about every response.
const ANSWERED = ["content-type", "transfer-encoding", "connection"];

/// Takes what came of something: by its key, a value, and what is to be known of it if it is as hoped.
let settled;

/// Takes that, and what answers a request, which is nothing in the module that serves none.
export function install(settle, answer) {
  settled = (key, value, told) => {
    try {
      settle(key, value, told);
    } catch (error) {
      // Whoever looks after the wasm hears of it.
      reportError(error);
    }
  };
  if (answer !== undefined) globalThis.splitwayServes?.(answer);
}

/// Has the key told after so many ms.
export function arm(key, ms) {
  return setTimeout(settled, ms, key, undefined, "");
}

/// Removes what belongs to one connection only, then makes changes, of which the first is in the line `at`: a
/// sign, the name, and unless it is to be removed, a value.
const change = (headers, changes, at) => {
  for (const name of LEFT) headers.delete(name);
  while (at < changes.length) {
    const sign = changes[at][0];
    const name = changes[at++].slice(1);
    if (sign === "-") headers.delete(name);
    else if (sign === "=") headers.set(name, changes[at++]);
    else headers.append(name, changes[at++]);
  }
};

/// Changes the headers of a response.
export function edit(headers, text) {
  change(headers, text.split("\n"), 1);
}

/// Begins a `fetch`, of which `key` is told, and returns what aborts it. `text` is the URL, the method and
/// changes to the headers of `request`. A body that is none of the request's goes before it. With `isCarried`
/// the request has one that goes with a method that has none, as long as nobody reads it. `isAlone` says that
/// it does not end with its client, `ends` is told the controller, too, and `upgrade` is the protocol to switch to.
export function send(key, request, text, body, isCarried, isAlone, ends, upgrade) {
  const controller = new AbortController();
  if (ends !== undefined) ends[0] = controller;
  // The client's own signal stays with the response: whoever leaves ends its body, too.
  const client = isAlone ? undefined : request.signal;
  const signal = isAlone ? controller.signal : AbortSignal.any([client, controller.signal]);
  const changes = text.split("\n");
  const [url, method] = changes;
  let fetching;
  if (isCarried) {
    // An init with such a method and a body is refused; a request made from one that came in keeps both, and
    // its redirect mode, which is manual.
    const carrier = new Request(url, request);
    change(carrier.headers, changes, 2);
    fetching = fetch(carrier, { signal });
  } else {
    const headers = new Headers(request.headers);
    change(headers, changes, 2);
    if (upgrade !== undefined) headers.set("upgrade", upgrade);
    if (body instanceof Uint8Array) headers.delete("content-length");
    fetching = fetch(url, { method, headers, body, redirect: "manual", signal });
  }
  fetching.then(
    (response) => {
      settled(key, response, `${response.status}${lines(response.headers, ANSWERED)}`);
    },
    (error) => {
      // Where the client is gone, nothing else matters.
      settled(key, client?.aborted ? undefined : error, undefined);
    },
  );
  return controller;
}

/// The response for the client: that of the upstream, with `body` in place of its own if there is one, and
/// changes to its headers.
export function relay(response, body, text) {
  // This keeps status, reason, headers and the body as it is.
  const relayed = new Response(body ?? response.body, response);
  edit(relayed.headers, text);
  // What is said in the place of what is missing has another length.
  if (body !== undefined) relayed.headers.delete("content-length");
  return relayed;
}
