// Sliders for the weights of a split. Before anything changes, the server is asked who would move.

import { ask } from "./api.js";
import { listed, sentences } from "./changes.js";
import { el, fresh, percent, put } from "./dom.js";
import { rebalanced, scaled, sum, withWeights } from "./splits.js";

/** How long the sliders must rest before the server is asked. */
const REST_MS = 250;
const KEYS_MAX = 1_000;

/**
 * The editor of a split. `at()` is the revision that it is for, `applied(text)` is called when its change
 * serves and `failed(error)` when it was not made, `closed()` when it is to go.
 */
export function editor(split, { at, applied, failed, closed }) {
  const start = scaled(split.branches.map(({ weight }) => weight));
  const total = sum(start);
  let [weights, timer, question] = [[...start], 0, 0];

  const moves = el("div", { role: "status", "aria-live": "polite", class: "moves" });
  const apply = el("button", { type: "submit", disabled: true }, "Apply");
  const keys = el("textarea", { id: fresh("keys"), rows: 3, spellcheck: "false", oninput: () => later() });
  const rows = split.branches.map(({ name }, index) => row(name, total, (value) => {
    weights = rebalanced(weights, index, value);
    shown();
    later();
  }));

  function shown() {
    for (const [index, one] of rows.entries()) one.show(weights[index], weights[index] / total);
  }

  const isSame = () => weights.every((weight, index) => weight === start[index]);

  /** Asks when the sliders rest, and not for each step on the way. */
  function later() {
    apply.disabled = true;
    clearTimeout(timer);
    timer = setTimeout(look, REST_MS);
  }

  async function look() {
    const own = (question += 1);
    if (isSame()) {
      moves.replaceChildren(el("p", {}, "Move a slider to see who would move."));
      return;
    }
    const named = keys.value.split("\n").map((key) => key.trim()).filter(Boolean).slice(0, KEYS_MAX);
    const body = { kind: split.kind, id: split.id, patch: withWeights(split, weights) };
    if (named.length) body.keys = named;
    try {
      const { told } = await ask("POST", "splitway/v1/impact", { body });
      if (own !== question) return;
      moves.replaceChildren(el("h5", {}, "Who would move"), listed(sentences(told.traffic)));
      apply.disabled = false;
    } catch (error) {
      if (own !== question) return;
      moves.replaceChildren(el("p", { class: "bad" }, error.message));
      failed(error);
    }
  }

  async function submit(event) {
    event.preventDefault();
    if (apply.disabled) return;
    apply.disabled = true;
    const revision = at();
    try {
      const path = `apisix/admin/${split.kind}/${encodeURIComponent(split.id)}`;
      await ask("PATCH", path, { body: withWeights(split, weights), revision });
      const shares = split.branches.map(({ name }, index) => `${name} ${percent(weights[index] / total)}`);
      await applied(`${split.id}: ${shares.join(", ")}`, revision);
    } catch (error) {
      moves.replaceChildren(el("p", { class: "bad" }, `Nothing was changed. ${error.message}.`));
      failed(error);
    }
  }

  const form = el("form", { class: "editor", onsubmit: submit },
    el("fieldset", {}, el("legend", {}, `Weights of ${split.id}, rule ${split.rule}`), ...rows.map(({ root }) => root)),
    split.isSticky && el("details", {},
      el("summary", {}, "Keys of yours"),
      el("label", { for: keys.id }, `Up to ${KEYS_MAX} keys, one a line: the list names those that move`),
      keys),
    moves,
    el("p", { class: "buttons" }, apply, el("button", { type: "button", onclick: closed }, "Cancel")),
  );
  shown();
  look();
  return { root: form, focus: () => rows[0].focus() };
}

/** One branch: a slider, the same as a number, and the share. */
function row(name, total, moved) {
  const [id, step] = [fresh("weight"), Math.max(1, Math.floor(total / 1000))];
  const slider = el("input", { type: "range", id, min: 0, max: total, step, oninput: () => moved(Number(slider.value)) });
  const exact = el("input", {
    type: "number", min: 0, max: total, step: 1, "aria-label": `Weight of ${name}, of ${total}`,
    onchange: () => moved(Number(exact.value)),
  });
  const share = el("output", { for: id });
  const show = (weight, part) => {
    slider.value = String(weight);
    exact.value = String(weight);
    slider.setAttribute("aria-valuetext", percent(part));
    put(share, percent(part));
  };
  const root = el("div", { class: "weight" }, el("label", { for: id }, name), slider, exact, share);
  return { root, show, focus: () => slider.focus() };
}
