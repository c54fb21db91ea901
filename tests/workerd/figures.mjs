// Figures of the built Worker in workerd with documents of 10 and 10,000 routes: how long its first
// request takes, and how much memory its wasm has then; what the Admin API takes for such documents.
//
//   node tests/workerd/figures.mjs

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const KEY = "the-key-of-the-figures";
const wrangler = readFileSync("wrangler.toml", "utf8");
const date = /^compatibility_date = "(.*)"$/m.exec(wrangler)[1];

/// The Worker, with a path beside it that tells the size of its memory.
const ENTRY = `
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(...args) {
      super(...args);
      globalThis.memory = this.exports.memory;
    }
  };`;
const MAIN = `
  import "./entry.js";
  import Worker from "./index.js";
  export { Coordinator } from "./index.js";
  const told = () => Response.json(globalThis.memory?.buffer.byteLength ?? 0);
  export default {
    fetch(request, ...rest) {
      return new URL(request.url).pathname === "/.memory" ? told() : Worker.fetch(request, ...rest);
    },
  };`;

// As in tests/bench.
const upstream = { scheme: "https", nodes: { "api.example.com:443": 1 }, pass_host: "node" };
const rule = (uri) => ({ weight: 50, upstream, rewrite: { uri } });
const rules = [rule("/v1/chat/completions"), rule("/v2/chat/completions")];
const route = (number) => ({
  id: `r${number}`,
  uri: `/tenant-${number}/chat/completions${number % 2 ? "/*" : ""}`,
  upstream,
  plugins: { "traffic-split": { rules } },
});
const one = { ...route(0), id: "one", uri: "/one" };
const documentOf = (count) => JSON.stringify({ routes: Array.from({ length: count }, (_, n) => route(n)) });

const start = async (folder) => {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      name: "splitway",
      compatibilityDate: date,
      modules: [
        { type: "ESModule", path: "main.js", contents: MAIN },
        { type: "ESModule", path: "entry.js", contents: ENTRY },
        { type: "ESModule", path: "index.js", contents: readFileSync("build/index.js", "utf8") },
        { type: "CompiledWasm", path: "index_bg.wasm", contents: readFileSync("build/index_bg.wasm") },
        { type: "ESModule", path: "control.js", contents: readFileSync("build/control.js", "utf8") },
        { type: "CompiledWasm", path: "control_bg.wasm", contents: readFileSync("build/control_bg.wasm") },
      ],
      kvNamespaces: ["SPLITWAY"],
      durableObjects: folder ? { COORDINATOR: { className: "Coordinator", useSQLite: true } } : {},
      bindings: { SPLITWAY_REFRESH_SECONDS: "1", ADMIN_KEY: KEY },
      resourcePersistencePath: folder,
      cf: false,
      handleStructuredLogs: ({ level, message }) => level === "error" && console.error(message),
    }),
  );
  const url = await miniflare.ready;
  const ask = async (method, path, body) => {
    const begin = performance.now();
    const answer = await fetch(new URL(path, url), { method, body, headers: { "x-api-key": KEY } });
    const text = await answer.text();
    const revision = answer.headers.get("x-splitway-revision");
    return { status: answer.status, text, revision, ms: performance.now() - begin };
  };
  return { miniflare, ask };
};

const mib = (bytes) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
const ms = ({ ms }) => `${ms.toFixed(0)} ms`;

for (const count of [10, 10_000]) {
  const document = documentOf(count);
  console.log(`${count} routes, ${mib(document.length)} of JSON`);
  {
    const { miniflare, ask } = await start();
    const kv = await miniflare.getKVNamespace("SPLITWAY");
    await kv.put("config", document);
    const { text: before } = await ask("GET", "/.memory");
    // No route takes it, so that nobody is asked.
    const [first, second] = [await ask("GET", "/x"), await ask("GET", "/x")];
    const { text: after } = await ask("GET", "/.memory");
    console.log(`  from KV: first request ${ms(first)} (${first.status}), second ${ms(second)}`);
    await kv.put("config", documentOf(count + 1));
    let another = second;
    while (another.revision === first.revision) another = await ask("GET", "/x");
    const { text: replaced } = await ask("GET", "/.memory");
    const told = `${mib(before)} before, ${mib(after)} after, ${mib(replaced)} with the next one`;
    console.log(`  memory of the wasm: ${told}`);
    await miniflare.dispose();
  }
  const folder = mkdtempSync(join(tmpdir(), "splitway-figures-"));
  {
    const { miniflare, ask } = await start(folder);
    const put = await ask("PUT", "/splitway/v1/config", document);
    const { text: after } = await ask("GET", "/.memory");
    console.log(`  coordinator: document put in ${ms(put)} (${put.status}); memory ${mib(after)}`);
    await miniflare.dispose();
  }
  {
    const { miniflare, ask } = await start(folder);
    const woken = await ask("GET", "/apisix/admin/routes/r1");
    const { text: before } = await ask("GET", "/.memory");
    const put = await ask("PUT", "/apisix/admin/routes/one", JSON.stringify(one));
    const again = await ask("PUT", "/apisix/admin/routes/one", JSON.stringify({ ...one, desc: "again" }));
    const { text: after } = await ask("GET", "/.memory");
    console.log(`  woken in ${ms(woken)} with ${mib(before)}; one route put in ${ms(put)}, then in`);
    console.log(`  ${ms(again)} (${put.status}, ${again.status}); memory ${mib(after)}`);
    await miniflare.dispose();
  }
  rmSync(folder, { recursive: true });
}
