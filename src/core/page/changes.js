// What is different, for people: entries line by line, and what it means for traffic.

import { count, el, number } from "./dom.js";

/** So many lines of one side are compared; of longer ones the whole is shown. */
const LINES_MAX = 600;
const SIGNS = { add: "+ ", change: "~ ", remove: "- " };

/** The differences of a list of changes. */
export function differences(changes) {
  if (!changes.length) return el("p", {}, "Nothing is different.");
  return el("div", { class: "differences" }, ...changes.map(({ op, kind, id, before, after }) =>
    el("details", { open: changes.length < 4 },
      el("summary", {}, `${SIGNS[op] ?? ""}${kind}/${id}`),
      el("pre", { tabindex: 0, "aria-label": `Lines of ${kind} ${id}` }, ...compared(lines(before), lines(after))),
    )));
}

const lines = (value) => (value === null || value === undefined ? [] : JSON.stringify(value, null, 2).split("\n"));

function compared(before, after) {
  const isLong = before.length > LINES_MAX || after.length > LINES_MAX;
  const steps = isLong
    ? [...before.map((line) => ["-", line]), ...after.map((line) => ["+", line])]
    : between(before, after);
  return steps.map(([sign, line]) =>
    el(sign === "+" ? "ins" : sign === "-" ? "del" : "span", {}, `${sign} ${line}\n`));
}

/** The lines that both have, in order, as many as there can be; the others beside them. */
function between(before, after) {
  const [rows, columns] = [before.length, after.length];
  const longest = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1));
  for (let row = rows - 1; row >= 0; row -= 1) {
    for (let column = columns - 1; column >= 0; column -= 1) {
      longest[row][column] = before[row] === after[column]
        ? longest[row + 1][column + 1] + 1
        : Math.max(longest[row + 1][column], longest[row][column + 1]);
    }
  }
  const steps = [];
  let [row, column] = [0, 0];
  while (row < rows || column < columns) {
    if (row < rows && column < columns && before[row] === after[column]) {
      steps.push([" ", before[row]]);
      [row, column] = [row + 1, column + 1];
    } else if (column === columns || (row < rows && longest[row + 1][column] >= longest[row][column + 1])) {
      steps.push(["-", before[row]]);
      row += 1;
    } else {
      steps.push(["+", after[column]]);
      column += 1;
    }
  }
  return steps;
}

/** What a change means for traffic, a sentence each. */
export function sentences(traffic) {
  if (!traffic) return ["What this means for traffic is not known: the configuration has faults."];
  const told = [];
  if (traffic.is_rerouted) told.push("Routes are found another way.");
  for (const [ids, what] of [
    [traffic.added, "is new"],
    [traffic.removed, "is gone"],
    [traffic.rematched, "takes other requests"],
    [traffic.unshadowed, "is reached again"],
  ]) {
    told.push(...ids.map((id) => `Route ${id} ${what}.`));
  }
  told.push(...traffic.shadowed.map(({ route, by }) => `Route ${route} is never reached: ${by.join(", ")} comes first.`));
  told.push(...traffic.overtakes.map(({ route, other, host, uri }) => `Route ${route} goes ahead of ${other}, for ${host}${uri}.`));
  const kind = traffic.moved ? "key of yours" : "made-up key";
  told.push(...traffic.splits.flatMap((split) => splitSentences(split, kind)));
  told.push(...movedSentences(traffic));
  return told.length ? told : ["Traffic goes on as before: nobody moves."];
}

function splitSentences({ route, rule, branches, keys_decide: decide, keys }, kind) {
  const words = (share) => (share ? `${number(share.percent)} %` : "nothing");
  const shares = branches.map(({ name, before, after }) => `${name} ${words(before)} → ${words(after)}`);
  return [`${route}, rule ${rule}: ${shares.join(", ")}.`, ...keySentences(decide, keys, branches, kind)];
}

function keySentences(decide, keys, branches, kind) {
  if (decide === "from_now_on") return ["Keys decide from now on."];
  if (decide === "no_longer") return ["Keys do not decide any more."];
  if (decide === "never") {
    const moves = branches.map(({ name, before, after }) => [name, (after?.percent ?? 0) - (before?.percent ?? 0)]);
    const words = moves.filter(([, by]) => by).map(([name, by]) => `${number(Math.abs(by))} ${by > 0 ? "more" : "fewer"} go to ${name}`);
    return words.length ? [`Requests take turns: of 100 requests ${words.join(", ")}.`] : [];
  }
  const all = count(keys.count, kind, kind.replace("key", "keys"));
  if (!keys.moves.length) return [`Of ${all} none moves.`];
  return keys.moves.map(({ from, to, count: moved, percent }) =>
    `Of ${all} ${number(percent)} % (${number(moved)}) move from ${from} to ${to}.`);
}

function movedSentences({ moved }) {
  if (!moved) return [];
  return moved.length ? moved.map(({ key, route, from, to }) => `${key} moves from ${from} to ${to} (${route}).`) : ["None of your keys moves."];
}

/** These sentences as a list. */
export const listed = (told) => el("ul", {}, ...told.map((one) => el("li", {}, one)));
