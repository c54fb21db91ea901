// The Worker, of two wasm modules in one upload. What serves requests is there at once; the other, with
// the ledger, the Admin API and the page, only where it is asked for: in the isolate that has the
// coordinator, and in one that shows the page.

import { DurableObject } from "cloudflare:workers";

import Splitway from "../target/worker/serve/index.js";
import { entry } from "./entry.js";

export { Limiter } from "../target/worker/serve/index.js";
export default entry(Splitway);

const control = () => import("./control.js");
// Asked for a file of the page, the module that serves has the other answer.
globalThis.splitwayControl = control;

// The coordinator, which is in the other module. No event comes in before it is there.
export class Coordinator extends DurableObject {
  #object;

  constructor(state, env) {
    super(state, env);
    state.blockConcurrencyWhile(async () => {
      const { Coordinator } = await control();
      this.#object = new Coordinator(state, env);
    });
  }

  fetch(request) {
    return this.#object.fetch(request);
  }

  alarm() {
    return this.#object.alarm();
  }
}
