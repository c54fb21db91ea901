// Reads documents with the code of the page: given them as a JSON list on standard input, prints the splits of
// each, [route, [rule, [[branch, weight], ...]], ...]. What the page computes by itself is checked here, too.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { History, shareOf } from "../../src/core/page/live.js";
import { rebalanced, routesOf, scaled, sum, withWeights } from "../../src/core/page/splits.js";

const documents = JSON.parse(readFileSync(0, "utf8"));
const told = documents.map((document) =>
  routesOf(document).map(({ id, splits }) => [
    id,
    splits.map(({ rule, branches }) => [rule, branches.map(({ name, weight }) => [name, weight])]),
  ]));

// Other weights change the weights and nothing else.
for (const document of documents) {
  for (const { splits } of routesOf(document)) {
    for (const split of splits) {
      const weights = split.branches.map((branch, index) => index + 7);
      const before = split.rules;
      const { rules } = withWeights(split, weights).plugins["traffic-split"];
      const again = routesOf({ routes: [{ id: "r", plugins: { "traffic-split": { rules } } }] })[0].splits;
      const same = again.find(({ rule }) => rule === split.rule);
      assert.deepEqual(same.branches.map(({ weight }) => weight), weights);
      const bare = (list) => JSON.stringify(list, (key, value) => (key === "weight" ? undefined : value));
      assert.equal(bare(rules), bare(before));
    }
  }
}

// Sliders keep the total, set what is wanted, and leave proportions as they are as far as numbers go.
let seed = 1;
const draw = (below) => (seed = (seed * 48271) % 2147483647) % below;
for (let round = 0; round < 20_000; round += 1) {
  const weights = Array.from({ length: 2 + draw(5) }, () => draw(4) && draw(200));
  weights[0] ||= 1;
  const start = scaled(weights);
  assert(start.every(Number.isInteger) && sum(start) >= 100);
  const [total, original] = [sum(start), sum(weights)];
  start.forEach((one, index) => assert(Math.abs(one / total - weights[index] / original) < 1e-12));
  const [index, value] = [draw(weights.length), draw(total + 1)];
  const moved = rebalanced(start, index, value);
  assert.equal(sum(moved), total, `${start} with ${index} at ${value} is ${moved}`);
  assert.equal(moved[index], value);
  assert(moved.every((one) => Number.isInteger(one) && one >= 0));
  const others = total - start[index];
  moved.forEach((one, own) => {
    if (own !== index && others > 0) assert(Math.abs(one - (start[own] * (total - value)) / others) < 1);
  });
}

// The interval of Wilson as printed: 5 of 100 is 2.15 % to 11.18 %.
const { share, interval } = shareOf(5, 100);
assert.deepEqual([share, ...interval.map((one) => one.toFixed(4))], [0.05, "0.0215", "0.1118"]);
assert.deepEqual(shareOf(0, 0).interval, null);
assert.equal(shareOf(0, 50).interval[0], 0);

// Counters as differences; those of another process begin anew, and buckets with nothing in them are not told.
const look = (at_ms, since_ms, n, buckets) => {
  const branches = [{ name: "a", picked: n, requests: n, errors: n / 4, buckets }];
  return { at_ms, since_ms, routes: [{ id: "r", rules: [{ rule: 0, branches }, { rule: 0, branches: [{ name: "a" }] }] }] };
};
const past = new History();
past.add(look(1_000, 0, 4, [[10, 4]]), new Set(["r"]));
past.add(look(3_000, 0, 12, [[10, 8], [100, 3], [null, 1]]), new Set(["r"]));
const [minute] = past.minute("r", 0, ["a"]);
assert.deepEqual([minute.perSecond, minute.errorShare, minute.p50, minute.p99, minute.of], [4, 0.25, 10, 100, 8]);
past.add(look(5_000, 4_000, 1, []), new Set(["r"]));
assert.equal(past.minute("r", 0, ["a"])[0].of, 0);
assert.deepEqual(past.line("r", 0, "a", (part) => part.requests), []);

console.log(JSON.stringify(told));
