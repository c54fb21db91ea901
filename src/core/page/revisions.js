// Who changed what and when, what is different, and the way back.

import { ask } from "./api.js";
import { differences, listed, sentences } from "./changes.js";
import { byId, count, el, trouble } from "./dom.js";

const SHOWN = 20;
const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The list of revisions. `actions.rolledBack(revision)` is called when a rollback serves. */
export class Past {
  #current = 0;
  #items = [];
  #actions;

  constructor(actions) {
    this.#actions = actions;
  }

  /** Shows the newest, with `current` as the one that serves. */
  async load(current) {
    const { told } = await ask("GET", `splitway/v1/revisions?limit=${SHOWN}`);
    this.#current = current;
    this.#items = told.revisions;
    this.#draw();
  }

  #draw() {
    const items = this.#items.map((one) => this.#item(one));
    byId("past").replaceChildren(...(items.length ? items : [el("li", { class: "none" }, "Nothing was changed yet.")]));
    const oldest = this.#items.at(-1)?.revision ?? 0;
    const older = el("button", { type: "button", onclick: () => this.#older(oldest) }, "Show older ones");
    byId("older").replaceChildren(...(this.#items.length >= SHOWN && oldest > 1 ? [older] : []));
  }

  async #older(before) {
    try {
      const { told } = await ask("GET", `splitway/v1/revisions?limit=${SHOWN}&before=${before}`);
      this.#items.push(...told.revisions);
      this.#draw();
      if (!told.revisions.length) byId("older").replaceChildren("There are no older ones.");
    } catch (error) {
      this.#actions.failed(error);
      trouble(error.message);
    }
  }

  #item({ revision, at, by, cause, changes }) {
    const [place, isCurrent] = [el("div", { role: "status", "aria-live": "polite" }), revision === this.#current];
    const time = Number.isNaN(Date.parse(at)) ? at : TIME.format(new Date(at));
    const button = (text, act) => el("button", { type: "button", "aria-label": `${text}, revision ${revision}`, onclick: () => this.#show(place, act) }, text);
    return el("li", { value: revision },
      el("p", {}, el("strong", {}, isCurrent ? `Revision ${revision}, the one that serves` : `Revision ${revision}`), ` ${cause}`),
      el("p", { class: "note" }, el("time", { datetime: at }, time), ` · by ${by} · ${count(changes.length, "change")}`),
      el("p", { class: "buttons" },
        revision > 1 && button("What it changed", () => compared(revision - 1, revision)),
        !isCurrent && button("Differences to now", () => compared(revision, this.#current)),
        !isCurrent && button("Roll back…", () => this.#trial(revision, place))),
      place);
  }

  async #show(place, act) {
    place.replaceChildren(el("p", {}, "Asking …"));
    try {
      place.replaceChildren(...(await act()));
    } catch (error) {
      place.replaceChildren(el("p", { class: "bad" }, `${error.message}.`));
      this.#actions.failed(error);
    }
  }

  /** What going back to a revision would mean, and the button that does it. */
  async #trial(revision, place) {
    const { told } = await ask("POST", "splitway/v1/impact", { body: { revision } });
    const go = async () => {
      await ask("POST", `splitway/v1/revisions/${revision}/rollback`, { revision: told.revision });
      await this.#actions.rolledBack(revision);
      return [];
    };
    const sure = el("button", { type: "button", onclick: () => this.#show(place, go) }, `Make revision ${revision} the configuration again`);
    const never = el("button", { type: "button", onclick: () => place.replaceChildren() }, "Cancel");
    return [listed(sentences(told.traffic)), differences(told.changes), el("p", { class: "buttons" }, sure, never)];
  }
}

async function compared(from, to) {
  const { told } = await ask("GET", `splitway/v1/revisions/${from}/diff/${to}`);
  return [differences(told.changes)];
}
