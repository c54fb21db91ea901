// @portkey-ai/gateway as a Worker. Its package has nothing but a server for Node.js, which is bundled with
// stand-ins for what listens there.

import "@portkey-ai/gateway/build/start-server.js";
import { app } from "@hono/node-server";
import { ready } from "./gateway-timers.mjs";

ready();
export default { fetch: (request, env, context) => app.fetch(request, env, context) };
