// The Admin API, asked with the key that was typed. The key is in this tab's session storage and in the
// header of requests to the page's own origin, and nowhere else.

const NAME = "splitway-admin-key";
const PATIENCE_MS = 20_000;

/** What the paths of the Admin API begin with: what stands before the page's own path. */
const BASE = location.pathname.replace(/(splitway\/v1\/)?ui\/[^/]*$/, "");

let key = stored();

function stored() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    // Storage may be switched off; then the key lives as long as the page.
    return "";
  }
}

export const hasKey = () => key !== "";

/** Keeps a key, or forgets it; false where no header could hold it. */
export function keep(text) {
  if (!/^[\x21-\x7e]*$/.test(text)) return false;
  key = text;
  try {
    if (key === "") sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, key);
  } catch {
    // As above.
  }
  return true;
}

/** Why something was not done: the status (0 without an answer) and what was said about it. */
export class Failed extends Error {
  constructor(status, message, told = {}) {
    super(message);
    this.status = status;
    this.told = told;
  }

  /** Whether it is the key that is wrong, not only what it may do. */
  get isKey() {
    return this.status === 401 && !/^invalid method/.test(this.told.description ?? "");
  }
}

/** Asks; `body` is sent as JSON, `revision` is the only one at which it is to be done. */
export async function ask(method, path, { body, revision } = {}) {
  const headers = { "X-API-KEY": key };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (revision !== undefined) headers["If-Match"] = `"${revision}"`;
  let response, text;
  try {
    response = await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    text = await response.text();
  } catch (error) {
    const isSlow = error?.name === "TimeoutError";
    throw new Failed(0, isSlow ? "The server takes too long" : "The server cannot be reached");
  }
  const told = parsed(text);
  if (!response.ok) throw new Failed(response.status, why(response, told), told ?? {});
  if (told === undefined) throw new Failed(response.status, "The answer is no JSON");
  const tag = /^(?:W\/)?"(\d+)"$/.exec(response.headers.get("etag") ?? "");
  return { told, revision: tag ? Number(tag[1]) : undefined };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function why(response, told) {
  const { status } = response;
  const said = told?.detail ?? told?.error_msg ?? told?.message ?? told?.title ?? "";
  if (status === 401 && /^invalid method/.test(told?.description ?? "")) {
    return "This key may only look";
  }
  if (status === 401) return "The key is wrong";
  if (status === 412) return "Somebody changed the configuration in between";
  if (status === 429) {
    const seconds = response.headers.get("retry-after") ?? "some";
    return `Too many wrong keys came from this address: try again in ${seconds} s`;
  }
  const faults = Array.isArray(told?.errors) ? told.errors : [];
  const places = faults.map(({ pointer, detail }) => `${pointer}: ${detail}`).join("; ");
  return places || said || `The server answers ${status}`;
}
