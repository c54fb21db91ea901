// The page: the key, then routes and revisions, looked at again and again while somebody looks.

import { ask, hasKey, keep } from "./api.js";
import { byId, el, put, tell, trouble } from "./dom.js";
import { History } from "./live.js";
import { Past } from "./revisions.js";
import { Cards } from "./routes.js";
import { routesOf } from "./splits.js";

/** How often counters are asked for, at most; where they are not had, how often somebody's change is. */
const LOOK_MS = 2_000;
const REVISION_MS = 6_000;
/** Slow answers are asked for less often: at most this part of the time is spent waiting for them. */
const BUSY = 0.1;

const history = new History();
const actions = { at: () => shown.revision, applied, rolledBack, failed };
const [cards, past] = [new Cards(actions), new Past(actions)];

let shown = { revision: -1, hasLive: null, begin: 0 };
let [timer, askedAt, lostAt, isLooking] = [0, 0, null, false];
/** Grows when the key is forgotten or another one comes: what was asked before that counts no more. */
let visit = 0;

/** Shows what the key is good for, or asks for one. */
async function open() {
  const own = (visit += 1);
  shown = { revision: -1, hasLive: null, begin: 0 };
  if (!hasKey()) return close();
  trouble("");
  put(byId("state"), "Asking …");
  try {
    await load();
  } catch (error) {
    if (own !== visit) return undefined;
    failed(error);
    // Without the key to anything there is nothing to show yet; the loop below tries again.
    if (!hasKey()) return undefined;
    lost(error);
  }
  if (own !== visit) return undefined;
  const isFromDoor = !byId("door").hidden;
  byId("door").hidden = true;
  byId("nav").hidden = byId("main").hidden = false;
  // Before anything else is waited for: by then whoever reads may be elsewhere.
  if (isFromDoor) byId("main").focus();
  return look();
}

function close(why = "") {
  visit += 1;
  clearTimeout(timer);
  byId("nav").hidden = byId("main").hidden = true;
  byId("door").hidden = false;
  put(byId("state"), "");
  byId("news").replaceChildren();
  byId("cards").replaceChildren();
  byId("past").replaceChildren();
  trouble(why);
  byId("key").value = "";
  byId("key").focus();
}

/** Reads the configuration and its past. */
async function load() {
  const own = visit;
  const { told, revision } = await ask("GET", "splitway/v1/config");
  if (own !== visit) return;
  shown.revision = revision;
  cards.show(routesOf(told));
  state();
  await past.load(revision);
}

/** Looks at counters, and whether somebody changed the configuration; then again, later. */
async function look() {
  if (isLooking) return;
  const [own, begin] = [visit, performance.now()];
  clearTimeout(timer);
  if (!document.hidden) {
    isLooking = true;
    try {
      await lookOnce(own, begin);
    } catch (error) {
      if (own === visit) {
        failed(error);
        lost(error);
      }
    }
    isLooking = false;
  }
  if (hasKey()) timer = setTimeout(look, Math.max(LOOK_MS, (performance.now() - begin) / BUSY));
}

async function lookOnce(own, now) {
  if (shown.hasLive !== false) await live(own);
  if (own === visit && now - askedAt >= REVISION_MS) {
    askedAt = now;
    await renew(own);
  }
  if (own === visit && lostAt !== null) found();
}

async function live(own) {
  let told;
  try {
    ({ told } = await ask("GET", "splitway/v1/status"));
  } catch (error) {
    // A server without counters shows its configuration alone; one that knows of none yet may later.
    const isUnknown = /:status_unknown$/.test(error.told?.type ?? "");
    if (!isUnknown && ![404, 405, 501].includes(error.status)) throw error;
    shown.hasLive = isUnknown ? null : false;
    byId("main").classList.add("still");
    const why = isUnknown ? "Nobody has told yet what was counted" : "This server has no live counters";
    put(byId("live"), `${why}: the configuration alone is shown.`);
    return;
  }
  if (own !== visit) return;
  // Shares before a change say nothing of those after it.
  if (shown.counted !== undefined && String(told.revision) !== shown.counted) {
    shown.begin = told.at_ms;
    askedAt = 0;
  }
  [shown.hasLive, shown.counted] = [true, String(told.revision)];
  byId("main").classList.remove("still");
  history.add(told, cards.watched);
  cards.update(told, history, shown.begin);
  const problems = Object.entries(told.problems ?? {}).map(([token, n]) => `${token} ${n}`);
  const where = told.scope === "edge" ? "all isolates" : "this process";
  const since = new Date(told.since_ms).toLocaleString();
  put(byId("live"), `Counted in ${where} since ${since}.${problems.length ? ` Own answers: ${problems.join(", ")}.` : ""}`);
}

async function renew(own) {
  const { told } = await ask("GET", "splitway/v1/revisions?limit=1");
  if (own !== visit || told.current === shown.revision) return;
  const isFirst = shown.revision < 0;
  await load();
  if (own === visit && !isFirst) tell(`Somebody changed the configuration: revision ${shown.revision} is shown.`);
}

function state() {
  put(byId("state"), shown.revision < 0 ? "No answer yet" : `Revision ${shown.revision}`);
}

/** A change of this page serves. */
async function applied(text, before, route, rule) {
  await load();
  const [now, undo] = [shown.revision, el("button", { type: "button" }, "Undo")];
  undo.addEventListener("click", async () => {
    undo.disabled = true;
    try {
      await ask("POST", `splitway/v1/revisions/${before}/rollback`, { revision: now });
      await rolledBack(before);
    } catch (error) {
      failed(error);
      trouble(`Nothing was undone. ${error.message}.`);
    }
  });
  trouble("");
  tell(`Revision ${now} serves. ${text}.`, undo);
  cards.focus(route, rule);
}

async function rolledBack(revision) {
  await load();
  trouble("");
  tell(`Revision ${shown.revision} serves: the configuration is that of revision ${revision}.`);
  byId("revisions-title").focus();
}

/** Lets go of a key that is wrong; all else is told where it was asked for. */
function failed(error) {
  if (!error.isKey) return;
  keep("");
  close(`${error.message}.`);
}

function lost(error) {
  if (!hasKey()) return;
  lostAt ??= new Date();
  trouble(`${error.message}, since ${lostAt.toLocaleTimeString()}. What is shown is from before; it is tried again.`);
  byId("main").classList.add("stale");
}

function found() {
  lostAt = null;
  trouble("");
  byId("main").classList.remove("stale");
  state();
}

byId("door").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("key").value.trim();
  if (text === "" || !keep(text)) return trouble("A key is of letters, digits and marks of ASCII.");
  return open();
});
byId("forget").addEventListener("click", () => {
  keep("");
  close();
  tell("The key is forgotten.");
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !byId("main").hidden) look();
});
byId("door").hidden = hasKey();
open();
