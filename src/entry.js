// How events come to the wasm. What worker-build makes is an object for each event, behind two proxies, which
// costs a request a fifteenth of what all of it costs. So a request goes straight to the wasm; by way of that
// object go the first one, whatever comes when the wasm was given up and is to be loaded anew, and what is rare.

/// The Worker, of the class that worker-build makes.
export const entry = (Splitway) => {
  // That of the module that serves: the other one, which puts its own there, is not loaded yet.
  const state = globalThis.__worker_init_state;
  let road;
  let instance;
  // The wasm says so by itself what answers requests, each time that it is loaded.
  globalThis.splitwayServes = (answer) => {
    road = answer;
    instance = state.instanceId;
  };
  return {
    fetch(request, env, context) {
      // It is that of the wasm as it is now, and nothing has gone wrong with it.
      if (instance !== state.instanceId || state.criticalError) {
        return new Splitway(context, env).fetch(request);
      }
      const answer = road(request, env, context);
      // What a client leaves behind is put in order: an attempt that is under way ends, and whoever counts it
      // is told. The runtime would else forget the request where it waits.
      context.waitUntil(answer);
      return answer;
    },
    scheduled: (event, env, context) => new Splitway(context, env).scheduled(event),
  };
};
