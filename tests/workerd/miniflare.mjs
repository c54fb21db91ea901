// Runs the built Worker in workerd, for tests/workerd.
//
// Standard input, one JSON value a line: first what to start with, {"document", "vars",
// "coordinator", "kv", "folder", "leaving", "analytics"}, of which each may be missing: a document for KV, variables and
// secrets, whether the Durable Object and KV are bound (only KV is, unless said otherwise; "throws" and
// "hangs" bind one that does nothing else), and where both are kept; with "leaving" there is a Worker in
// front that breaks a request off as its header X-Leave says: "when-told" by one with "now", or
// "after-a-chunk" of the body; with "analytics" a dataset is bound, "stub" miniflare's own, which forgets
// every point, "recorded" one that logs each as {"event": "point", "point"}. Then commands: {"put": document} into KV, {"get": true} what is in KV,
// {"cron": time} a cron trigger that was set for so many ms since the epoch. Its end ends everything.
// Standard output, one JSON object a line: {"url"} when the Worker listens, {"done": true} after each put,
// {"value"} after each get, {"outcome"} after each trigger, {"log"} for what the Worker logs.

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

const { document, vars, coordinator = false, kv: hasKv = true, folder, leaving = false, analytics } =
  await next();

const broken = {
  name: "broken",
  compatibilityDate: JSON.parse(setting("compatibility_date")),
  modules: true,
  script: `
    const acts = { throws: () => { throw new Error("broken") }, hangs: () => scheduler.wait(60_000) };
    export class Broken { fetch() { return acts[${JSON.stringify(coordinator)}](); } }
    export default { fetch: () => new Response() };`,
  durableObjects: { BROKEN: "Broken" },
};
const objects = {
  true: { COORDINATOR: { className: "Coordinator", useSQLite: true } },
  false: {},
  throws: { COORDINATOR: { className: "Broken", scriptName: "broken" } },
  hangs: { COORDINATOR: { className: "Broken", scriptName: "broken" } },
};
// What miniflare binds as a dataset keeps nothing, so another is put in its place before the Worker.
const recording = {
  type: "ESModule",
  path: "build/recording.mjs",
  contents: `
    import Splitway from "./index.js";
    export * from "./index.js";
    const dataset = {
      writeDataPoint: (point) => console.log(JSON.stringify({ event: "point", point })),
    };
    export default {
      fetch: (request, env, context) =>
        new Splitway(context, { ...env, SPLITWAY_ANALYTICS: dataset }).fetch(request),
    };`,
};
const splitway = {
  name: "splitway",
  compatibilityDate: JSON.parse(setting("compatibility_date")),
  compatibilityFlags: JSON.parse(setting("compatibility_flags") ?? "[]"),
  modules: [
    ...(analytics === "recorded" ? [recording] : []),
    { type: "ESModule", path: "build/index.js" },
    { type: "CompiledWasm", path: "build/index_bg.wasm" },
  ],
  modulesRoot: "build",
  kvNamespaces: hasKv ? ["SPLITWAY"] : [],
  durableObjects: objects[coordinator],
  analyticsEngineDatasets: analytics === "stub" ? { SPLITWAY_ANALYTICS: { dataset: "splitway" } } : {},
  bindings: { SPLITWAY_REFRESH_SECONDS: "1", ...vars },
};
const front = {
  name: "front",
  compatibilityDate: JSON.parse(setting("compatibility_date")),
  modules: true,
  script: `
    let isTold = false;
    export default {
      async fetch(request, { SPLITWAY }) {
        const when = request.headers.get("x-leave");
        if (when === null) return SPLITWAY.fetch(request);
        if (when === "now") {
          isTold = true;
          return new Response("told");
        }
        const controller = new AbortController();
        const watch = async () => {
          while (!isTold) await scheduler.wait(10);
          controller.abort();
        };
        if (when === "when-told") watch();
        try {
          const response = await SPLITWAY.fetch(request, { signal: controller.signal });
          for await (const chunk of response.body) controller.abort();
          return new Response("stayed");
        } catch {
          return new Response("left");
        }
      },
    };`,
  serviceBindings: { SPLITWAY: "splitway" },
};
const workers = [...(leaving ? [front] : []), splitway];
if (typeof coordinator === "string") workers.push(broken);
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    workers,
    resourcePersistencePath: folder,
    cf: false,
    handleStructuredLogs: ({ message }) => say({ log: message }),
  }),
);

const url = await miniflare.ready;
const kv = hasKv ? await miniflare.getKVNamespace("SPLITWAY", "splitway") : undefined;
if (document !== undefined) await kv.put("config", document);
say({ url });

for (let command = await next(); command !== undefined; command = await next()) {
  if (command.put !== undefined) {
    await kv.put("config", command.put);
    say({ done: true });
  } else if (command.cron !== undefined) {
    const worker = await miniflare.getWorker("splitway");
    const scheduledTime = new Date(command.cron);
    const { outcome } = await worker.scheduled({ cron: "* * * * *", scheduledTime });
    say({ outcome });
  } else {
    say({ value: (await kv.get("config")) ?? "" });
  }
}
await miniflare.dispose();
process.exit(0);
