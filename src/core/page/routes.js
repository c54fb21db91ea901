// The cards of routes: what each is for, how it is split, and what becomes of that.

import { bar, plot } from "./chart.js";
import { byId, count, el, number, percent, put } from "./dom.js";
import { editor } from "./editor.js";
import { sum } from "./splits.js";

/** So many routes are shown at first, and with each more. */
const SHOWN = 20;

const PLOTS = [
  ["Requests", "/s", (part) => part.perSecond],
  ["Errors", "%", (part) => (part.errorShare === null ? null : part.errorShare * 100)],
  ["Latency, p99", "ms", (part) => part.p99],
];
const COLUMNS = ["Version", "Weight", "Target", "Share in the last minute", "Requests/s", "Errors", "p50", "p99", "Breaker"];

/** The list of routes. `actions` is what editors are given. */
export class Cards {
  #routes = [];
  #cards = new Map();
  #limit = SHOWN;
  #actions;

  constructor(actions) {
    this.#actions = actions;
    byId("filter").addEventListener("input", () => this.#draw());
  }

  /** Takes over the routes of a document. Cards of which nothing changed stay as they are. */
  show(routes) {
    this.#routes = routes;
    this.#draw();
  }

  /** The keys of the routes that are shown. */
  get watched() {
    return new Set(this.#cards.keys());
  }

  /** Shows what a status and the past tell. */
  update(status, history, begin) {
    const told = new Map((status.routes ?? []).map((route) => [String(route.id), route]));
    for (const [id, card] of this.#cards) card.update(told.get(id), history, begin);
  }

  /** Moves the focus to the button that opens the sliders of a split. */
  focus(key, rule) {
    this.#cards.get(key)?.focus(rule);
  }

  #draw() {
    const wanted = byId("filter").value.trim().toLowerCase();
    const fits = (route) => [route.id, route.name, ...route.uris, ...route.hosts].some((text) => text.toLowerCase().includes(wanted));
    const fitting = this.#routes.filter(fits);
    const cards = new Map();
    for (const route of fitting.slice(0, this.#limit)) {
      const mark = JSON.stringify(route);
      const known = this.#cards.get(route.key);
      cards.set(route.key, known?.mark === mark ? known : card(route, mark, this.#actions));
    }
    this.#cards = cards;
    this.#place([...cards.values()].map(({ root }) => root));
    const rest = fitting.length - cards.size;
    const more = el("button", { type: "button", onclick: () => this.#more() }, `Show ${Math.min(SHOWN, rest)} of ${count(rest, "more route")}`);
    byId("more").replaceChildren(...(rest > 0 ? [more] : []));
  }

  #more() {
    this.#limit += SHOWN;
    this.#draw();
  }

  /** Puts the cards in their order, and leaves the focus where it is. */
  #place(roots) {
    const nothing = el("p", {}, this.#routes.length ? "No route fits." : "There are no routes yet: put one with the Admin API or `splitway push`.");
    const wanted = roots.length ? roots : [nothing];
    const list = byId("cards");
    if (list.children.length === wanted.length && wanted.every((root, index) => list.children[index] === root)) return;
    const focused = document.activeElement;
    list.replaceChildren(...wanted);
    if (focused && list.contains(focused)) focused.focus();
  }
}

function card(route, mark, actions) {
  const own = { rule: null, branches: [{ name: "route", weight: 1, to: "the route’s upstream" }], isOwn: true };
  const parts = (route.splits.length ? route.splits : [own]).map((split) => part(route, split, actions));
  const where = [route.methods.join(" "), route.hosts.join(" "), route.uris.join(" ")].filter(Boolean).join(" · ");
  const root = el("article", { class: "card" },
    el("h3", {}, route.isGlobal ? `Global rule ${route.id}` : route.id, route.name && el("small", {}, ` ${route.name}`)),
    el("p", { class: "where" }, route.isGlobal ? "for all routes that no rule of their own takes" : where, route.isOff && " · switched off"),
    ...parts.map(({ root: one }) => one));
  return {
    root,
    mark,
    update: (told, history, begin) => parts.forEach((one) => one.update(told, history, begin)),
    focus: (rule) => parts.find((one) => one.rule === rule)?.focus(),
  };
}

/** One split of a route. */
function part(route, split, actions) {
  const total = sum(split.branches.map(({ weight }) => weight));
  const rows = split.branches.map((branch, index) => row(branch, index, total));
  const plots = PLOTS.map(([title, unit, value]) => ({ value, ...plot(title, unit) }));
  const names = split.branches.map(({ name }) => name);
  const canChange = !split.isOwn && split.branches.length > 1;
  const [place, button] = [el("div"), el("button", { type: "button", onclick: () => open() }, "Change weights")];

  function open() {
    const close = () => {
      place.replaceChildren();
      button.hidden = false;
    };
    const closed = () => {
      close();
      button.focus();
    };
    const applied = (text, revision) => {
      close();
      return actions.applied(text, revision, route.key, split.rule);
    };
    const one = editor(split, { ...actions, applied, closed });
    place.replaceChildren(one.root);
    button.hidden = true;
    one.focus();
  }

  const head = COLUMNS.map((name, index) => el("th", { scope: "col", class: index > 2 ? "live" : false }, name));
  const root = el("section", { class: "split" },
    !split.isOwn && el("h4", {}, `Rule ${split.rule}`),
    !split.isOwn && el("p", { class: "note" }, ...notes(route, split)),
    el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows.map((one) => one.root))),
    el("div", { class: "plots live" }, ...plots.map((one) => one.root)),
    canChange && el("p", { class: "buttons" }, button),
    place);
  const update = (told, history, begin) => {
    const rule = (told?.rules ?? []).find((one) => (one.rule ?? null) === split.rule);
    const minute = history.minute(route.key, split.rule, names, begin);
    rows.forEach((one, index) => one.update(rule?.branches?.find(({ name }) => name === names[index]), minute[index]));
    for (const { value, update: draw } of plots) {
      draw(names.map((name) => ({ name, points: history.line(route.key, split.rule, name, value) })));
    }
  };
  return { root, rule: split.rule, update, focus: () => button.focus() };
}

function notes(route, split) {
  const isShared = split.kind !== "routes" && !route.isGlobal;
  return [
    split.match ? `for requests that match ${split.match}` : "for all requests",
    split.isFiltered && "while the filter of its plugin holds",
    split.isSticky ? "the same client gets the same version" : "requests take turns",
    isShared && `from ${split.kind === "services" ? "service" : "plugin config"} ${split.id}, which others may share`,
  ].filter(Boolean).join(" · ");
}

/** One version: what it should get, and what it gets. */
function row(branch, index, total) {
  const target = total > 0 ? branch.weight / total : 0;
  const share = bar(index);
  const cell = (at, ...children) => el("td", { "data-label": COLUMNS[at], class: at > 2 ? "live" : false }, ...children);
  const [told, rate, errors, p50, p99, breaker] = [el("span"), ...[4, 5, 6, 7, 8].map((at) => cell(at))];
  const swatch = el("span", { class: `swatch s${index % 6}`, "aria-hidden": "true" });
  const root = el("tr", {},
    el("th", { scope: "row" }, swatch, branch.name, el("small", {}, branch.to)),
    cell(1, number(branch.weight)), cell(2, percent(target)), cell(3, share.root, told), rate, errors, p50, p99, breaker);
  const update = (all, minute) => {
    const live = minute?.of ? minute : { share: all?.share ?? null, interval: all?.interval ?? null, of: 0 };
    share.update({ ...live, target });
    const picks = minute?.of ? count(minute.of, "pick") : "since the start";
    put(told, live.share === null ? "nothing yet" : `${percent(live.share)} (${bounds(live.interval)}), ${picks}`);
    put(rate, number(minute?.perSecond));
    put(errors, percent(minute?.errorShare));
    put(p50, milliseconds(minute?.p50 ?? all?.p50_ms));
    put(p99, milliseconds(minute?.p99 ?? all?.p99_ms));
    put(breaker, all?.breaker ?? "–");
    breaker.classList.toggle("bad", all?.breaker === "open");
  };
  return { root, update };
}

const bounds = (interval) => (interval ? `${percent(interval[0])} to ${percent(interval[1])}` : "–");
const milliseconds = (value) => (value === null || value === undefined ? "–" : `${number(value)} ms`);
