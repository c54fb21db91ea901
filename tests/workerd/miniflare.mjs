// Runs the built Worker in workerd, for tests/workerd/main.rs.
//
// Standard input, one JSON value a line: the document to start with; then {"put": document} for each
// that replaces it. Its end ends everything. Standard output, one JSON object a line: {"url"} when
// the Worker listens, {"done": true} after each put, {"log"} for what the Worker logs.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => {
  const { value, done } = await lines.next();
  return done ? undefined : JSON.parse(value);
};

// The settings that change how the runtime behaves are those of the deployment.
const wrangler = readFileSync("wrangler.toml", "utf8");
const setting = (name) => new RegExp(`^${name} = (.*)$`, "m").exec(wrangler)?.[1];

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    name: "splitway",
    compatibilityDate: JSON.parse(setting("compatibility_date")),
    compatibilityFlags: JSON.parse(setting("compatibility_flags") ?? "[]"),
    modules: [
      { type: "ESModule", path: "build/index.js" },
      { type: "CompiledWasm", path: "build/index_bg.wasm" },
    ],
    modulesRoot: "build",
    kvNamespaces: ["SPLITWAY"],
    bindings: { SPLITWAY_REFRESH_SECONDS: "1" },
    cf: false,
    handleStructuredLogs: ({ message }) => say({ log: message }),
  }),
);

const document = await next();
const url = await miniflare.ready;
const kv = await miniflare.getKVNamespace("SPLITWAY");
await kv.put("config", document);
say({ url });

for (let command = await next(); command !== undefined; command = await next()) {
  await kv.put("config", command.put);
  say({ done: true });
}
await miniflare.dispose();
process.exit(0);
