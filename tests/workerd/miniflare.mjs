// Runs the built Worker in workerd, for tests/workerd.
//
// Standard input, one JSON value a line: first what to start with, {"document", "vars",
// "coordinator", "limiter", "kv", "folder", "leaving", "nodes", "analytics", "direct"}, of which each may be missing: a document for
// KV, variables and secrets, whether the Durable Objects and KV are bound (all but the coordinator are, unless
// said otherwise; "throws" and "hangs" bind one that does nothing else), and where all are kept; with "leaving"
// there is a Worker in front that breaks a request off as its header X-Leave says: "when-told" by one with
// "now", or "after-a-chunk" of the body; with "nodes" there are so many Workers more, all with the objects of
// the first for shared limits, and one in front that hands a request to the one that its header X-Node says,
// from 1 on; with "analytics" a dataset is bound, "stub" miniflare's own, which forgets every point,
// "recorded" one that logs each as {"event": "point", "point"}; with "direct" the Worker itself listens, without miniflare's own in front of it. Then commands: {"put": document} into KV, {"get": true} what is in KV, {"cron": time} a cron
// trigger that was set for so many ms since the epoch, {"toll": toll} a request to the object of its key,
// {"evict": key} the end of that object, {"rows": true} how many values all of these have stored. The end of
// standard input ends everything.
// Standard output, one JSON object a line: {"url"} when the Worker listens, {"done": true} after each put,
// {"value"} after each get, {"outcome"} after each trigger, {"grant"} after each toll, {"stored"} after each
// question for rows, {"log"} for what the Worker logs.

import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

// The values in the storage of all objects whose files are in this folder.
const rows = (path) => {
  const files = readdirSync(path).filter((name) => name.endsWith(".sqlite"));
  const count = (name) => {
    const database = new DatabaseSync(`${path}/${name}`, { readOnly: true });
    const has = database.prepare("SELECT 1 FROM sqlite_master WHERE name = '_cf_KV'").get();
    const stored = has ? database.prepare("SELECT count(*) AS rows FROM _cf_KV").get().rows : 0;
    database.close();
    return stored;
  };
  // Of one that is being written nothing is known yet, so that it is asked for again.
  const known = (name) => {
    try {
      return count(name);
    } catch {
      return 1;
    }
  };
  return files.map(known).reduce((sum, rows) => sum + rows, 0);
};

const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => {
  const { value, done } = await lines.next();
  return done ? undefined : JSON.parse(value);
};

// The settings that change how the runtime behaves are those of the deployment.
const wrangler = readFileSync("wrangler.toml", "utf8");
const setting = (name) => new RegExp(`^${name} = (.*)$`, "m").exec(wrangler)?.[1];

const setup = await next();
const { document, vars, coordinator = false, limiter = true, folder, leaving = false } = setup;
const { kv: hasKv = true, nodes = 0, analytics, direct = false } = setup;

const broken = {
  name: "broken",
  compatibilityDate: JSON.parse(setting("compatibility_date")),
  modules: true,
  script: `
    const acts = { throws: () => { throw new Error("broken") }, hangs: () => scheduler.wait(60_000) };
    export class Broken { fetch() { return acts[${JSON.stringify(coordinator)}](); } }
    export class BrokenLimiter { fetch() { return acts[${JSON.stringify(limiter)}](); } }
    export default { fetch: () => new Response() };`,
  durableObjects: { BROKEN: "Broken", BROKEN_LIMITER: { className: "BrokenLimiter", useSQLite: true } },
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
        Splitway.fetch(request, { ...env, SPLITWAY_ANALYTICS: dataset }, context),
    };`,
};
const limiters = {
  true: { SPLITWAY_LIMITER: { className: "Limiter", useSQLite: true } },
  false: {},
  throws: { SPLITWAY_LIMITER: { className: "BrokenLimiter", scriptName: "broken" } },
  hangs: { SPLITWAY_LIMITER: { className: "BrokenLimiter", scriptName: "broken" } },
};
const splitway = {
  name: "splitway",
  compatibilityDate: JSON.parse(setting("compatibility_date")),
  compatibilityFlags: JSON.parse(setting("compatibility_flags") ?? "[]"),
  modules: [
    ...(analytics === "recorded" ? [recording] : []),
    { type: "ESModule", path: "build/index.js" },
    { type: "CompiledWasm", path: "build/index_bg.wasm" },
    { type: "ESModule", path: "build/control.js" },
    { type: "CompiledWasm", path: "build/control_bg.wasm" },
  ],
  modulesRoot: "build",
  kvNamespaces: hasKv ? ["SPLITWAY"] : [],
  analyticsEngineDatasets: analytics === "stub" ? { SPLITWAY_ANALYTICS: { dataset: "splitway" } } : {},
  durableObjects: { ...objects[coordinator], ...limiters[limiter] },
  bindings: { SPLITWAY_REFRESH_SECONDS: "1", ...vars },
  unsafeDirectSockets: direct ? [{}] : [],
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
const numbers = Array.from({ length: nodes }, (_, at) => String(at + 1));
const node = (number) => ({
  ...splitway,
  name: `node-${number}`,
  durableObjects: { SPLITWAY_LIMITER: { className: "Limiter", scriptName: "splitway" } },
});
const spread = {
  name: "spread",
  compatibilityDate: JSON.parse(setting("compatibility_date")),
  modules: true,
  script: `
    export default {
      fetch(request, nodes) {
        return nodes[request.headers.get("x-node")].fetch(request);
      },
    };`,
  serviceBindings: Object.fromEntries(numbers.map((number) => [number, `node-${number}`])),
};
const workers = [...(leaving ? [front] : []), ...(nodes > 0 ? [spread] : []), splitway];
workers.push(...numbers.map(node));
if (typeof coordinator === "string" || typeof limiter === "string") workers.push(broken);
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    workers,
    resourcePersistencePath: folder,
    unsafeEvictDurableObjects: true,
    cf: false,
    handleStructuredLogs: ({ message }) => say({ log: message }),
  }),
);

const ready = await miniflare.ready;
const url = direct ? await miniflare.unsafeGetDirectURL("splitway") : ready;
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
  } else if (command.toll !== undefined) {
    const accounts = await miniflare.getDurableObjectNamespace("SPLITWAY_LIMITER", "splitway");
    const account = accounts.get(accounts.idFromName(command.toll.key));
    const body = JSON.stringify(command.toll);
    const response = await account.fetch("http://limiter.internal/", { method: "POST", body });
    say({ grant: await response.text() });
  } else if (command.evict !== undefined) {
    await miniflare.unsafeEvictDurableObject("splitway", "Limiter", { name: command.evict });
    say({ done: true });
  } else if (command.rows !== undefined) {
    say({ stored: rows(`${folder}/do/splitway-Limiter`) });
  } else {
    say({ value: (await kv.get("config")) ?? "" });
  }
}
await miniflare.dispose();
process.exit(0);
