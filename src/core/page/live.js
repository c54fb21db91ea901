// What comes of counters that only grow: rates, shares with their intervals, and latencies, each from the
// difference of two looks. No elements here.

/** So many looks are remembered, and differences are taken over so long. */
const LOOKS_MAX = 180;
const WINDOW_MS = 60_000;

const keyOf = (route, rule, branch) => JSON.stringify([route, rule ?? null, branch]);

/** The past of all branches that are watched. */
export class History {
  #since;
  #looks = new Map();

  /** Takes over what a status tells; only routes of `watched` are remembered. */
  add(status, watched) {
    if (status.since_ms !== this.#since) this.#looks.clear();
    this.#since = status.since_ms;
    const seen = new Set();
    for (const route of status.routes ?? []) {
      if (!watched.has(String(route.id))) continue;
      for (const { rule, branches } of route.rules ?? []) {
        for (const branch of branches ?? []) {
          const key = keyOf(String(route.id), rule, branch.name);
          // A rule of the same number behind it is one that all routes have.
          if (seen.has(key)) continue;
          seen.add(key);
          this.#look(key, { at: status.at_ms, told: branch });
        }
      }
    }
    for (const key of this.#looks.keys()) if (!seen.has(key)) this.#looks.delete(key);
  }

  #look(key, look) {
    const looks = this.#looks.get(key) ?? [];
    const last = looks.at(-1);
    // Counters that went back are of another process; a status that was told twice is one.
    if (last && last.told.requests > look.told.requests) looks.length = 0;
    if (last && looks.length && last.at >= look.at) looks.pop();
    looks.push(look);
    if (looks.length > LOOKS_MAX) looks.shift();
    this.#looks.set(key, looks);
  }

  /** The last minute of the branches of a split: each with what was counted and what follows from it. */
  minute(route, rule, names, begin = 0) {
    const parts = names.map((name) => {
      const looks = this.#looks.get(keyOf(route, rule, name)) ?? [];
      const last = looks.at(-1);
      const from = last ? Math.max(begin, last.at - WINDOW_MS) : 0;
      const first = looks.find((look) => look.at >= from);
      return last && { last: last.told, ...between(first, last) };
    });
    const picked = parts.reduce((total, part) => total + (part?.picked ?? 0), 0);
    return parts.map((part) => part && { ...part, ...shareOf(part.picked, picked) });
  }

  /** One line of a plot: [time, value] for each pair of looks, by `value` of what is between them. */
  line(route, rule, name, value) {
    const looks = this.#looks.get(keyOf(route, rule, name)) ?? [];
    return looks.slice(1).map((look, index) => [look.at, value(between(looks[index], look))]);
  }
}

/** What was counted between two looks. */
function between(first, last) {
  const [from, to] = [first.told, last.told];
  const seconds = (last.at - first.at) / 1000;
  const [requests, errors] = [to.requests - from.requests, to.errors - from.errors];
  const grown = growth(from.buckets, to.buckets);
  return {
    seconds,
    picked: to.picked - from.picked,
    requests,
    errors,
    perSecond: seconds > 0 ? requests / seconds : null,
    errorShare: requests > 0 ? errors / requests : null,
    p50: quantile(grown, 0.5),
    p99: quantile(grown, 0.99),
  };
}

/** By how much each bucket grew: [limit in ms, requests beyond the limit before and up to it]. */
function growth(from = [], to = []) {
  const before = new Map(from);
  return to.map(([limit, n]) => [limit, n - (before.get(limit) ?? 0)]).filter(([, n]) => n > 0);
}

/** The time that a part of all took at most, as if those in a bucket were spread evenly over it. */
function quantile(buckets, part) {
  const total = buckets.reduce((all, [, n]) => all + n, 0);
  if (total <= 0) return null;
  let [left, floor] = [part * total, 0];
  for (const [limit, n] of buckets) {
    if (limit === null) break;
    // Buckets with nothing in them are not told; each limit is at most twice the one before it.
    floor = Math.max(floor, limit / 2);
    if (n >= left) return floor + ((limit - floor) * left) / n;
    [left, floor] = [left - n, limit];
  }
  return floor;
}

/** A share and the interval that holds the true one 95 times of 100 (Wilson 1927). */
export function shareOf(part, whole) {
  if (!(whole > 0)) return { share: null, interval: null, of: 0 };
  const z = 1.959964;
  const [p, zz] = [part / whole, (z * z) / whole];
  const middle = p + zz / 2;
  const reach = z * Math.sqrt((p * (1 - p)) / whole + zz / (4 * whole));
  const within = (value) => Math.max(0, Math.min(1, value / (1 + zz)));
  return { share: p, interval: [within(middle - reach), within(middle + reach)], of: whole };
}
