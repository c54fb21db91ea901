// Routes and splits as a document tells them, and the weights of a split: no elements here.
//
// A split is what one rule divides, as the server numbers rules: in APISIX's form each rule has its
// branches, in the rule form the rules with one `match` are the branches of the first of them.

const PLUGIN = "traffic-split";

/** All routes, those with splits first; each with what it is for and its splits. Global rules are among them,
 * with keys that no route can have. */
export function routesOf(told) {
  const list = (kind) => (Array.isArray(told[kind]) ? told[kind] : []);
  const named = (kind) => new Map(list(kind).map((one) => [String(one.id), one]));
  const [services, configs] = [named("services"), named("plugin_configs")];
  const routes = list("routes").map((route) => {
    const holders = [
      { kind: "routes", id: String(route.id), of: route },
      { kind: "plugin_configs", id: String(route.plugin_config_id), of: configs.get(String(route.plugin_config_id)) },
      { kind: "services", id: String(route.service_id), of: services.get(String(route.service_id)) },
    ];
    // The nearest one that has the plugin counts.
    const holder = holders.find(({ of }) => of?.plugins?.[PLUGIN]);
    return described(route, holder, route.status === 0);
  });
  const rules = list("global_rules").filter((rule) => rule.plugins?.[PLUGIN]);
  const global = rules.map((rule) => ({
    ...described(rule, { kind: "global_rules", id: String(rule.id), of: rule }, false),
    key: `global rule ${rule.id}`,
    isGlobal: true,
  }));
  const all = [...global, ...routes];
  return [...all.filter((one) => one.splits.length), ...all.filter((one) => !one.splits.length)];
}

function described(of, holder, isOff) {
  const uris = of.uris ?? (of.uri === undefined ? [] : [of.uri]);
  const hosts = of.hosts ?? (of.host === undefined ? [] : [of.host]);
  return {
    id: String(of.id),
    key: String(of.id),
    name: typeof of.name === "string" ? of.name : "",
    uris: uris.map(String),
    hosts: hosts.map(String),
    methods: (of.methods ?? []).map(String),
    isOff,
    isGlobal: false,
    splits: holder ? splitsOf(holder) : [],
  };
}

function splitsOf({ kind, id, of }) {
  const plugin = of.plugins[PLUGIN];
  const rules = Array.isArray(plugin.rules) ? plugin.rules : [];
  if (plugin._meta?.disable === true) return [];
  const isListed = rules.some((rule) => rule.weighted_upstreams !== undefined && rule.weighted_upstreams !== null);
  const groups = isListed ? lists(rules) : grouped(rules);
  return groups.map(({ rule, parts, branches }) => ({
    kind,
    id,
    rule,
    rules,
    match: JSON.stringify(parts[0].match ?? []) === "[]" ? "" : JSON.stringify(parts[0].match),
    isFiltered: plugin._meta?.filter !== undefined,
    isSticky: parts.some((part) => part.sticky),
    branches: branches.map(({ of: branch, at }, index) => ({
      name: String(branch.name ?? `b${index}`),
      weight: Number(branch.weight ?? 1),
      to: target(branch),
      at,
    })),
  }));
}

function lists(rules) {
  const groups = rules.map((rule, number) => ({
    rule: number,
    parts: [rule],
    branches: (rule.weighted_upstreams ?? []).map((of, index) => ({ of, at: [number, index] })),
  }));
  return groups.filter(({ branches }) => branches.length);
}

function grouped(rules) {
  const groups = new Map();
  for (const [number, rule] of rules.entries()) {
    const match = JSON.stringify(rule.match ?? []);
    const group = groups.get(match) ?? { rule: number, parts: [], branches: [] };
    group.parts.push(rule);
    group.branches.push({ of: rule, at: [number] });
    groups.set(match, group);
  }
  return [...groups.values()];
}

/** Where a branch sends requests, in a few words. */
function target({ upstream_id: id, upstream, rewrite }) {
  const nodes = upstream?.nodes ?? {};
  const hosts = Array.isArray(nodes) ? nodes.map((node) => node?.host) : Object.keys(nodes);
  const to = id !== undefined && id !== null ? `upstream ${id}`
    : typeof upstream === "string" ? upstream
    : upstream ? hosts.join(", ")
    : "the route’s upstream";
  const uri = rewrite?.uri ?? (rewrite?.regex_uri ? rewrite.regex_uri[1] : undefined);
  return uri === undefined ? to : `${to} at ${uri}`;
}

/** The change that gives a split other weights, for a PATCH of what holds it. */
export function withWeights(split, weights) {
  const rules = structuredClone(split.rules);
  for (const [index, { at: [rule, branch] }] of split.branches.entries()) {
    const part = branch === undefined ? rules[rule] : rules[rule].weighted_upstreams[branch];
    part.weight = weights[index];
  }
  return { plugins: { [PLUGIN]: { rules } } };
}

/** Weights to move sliders over: of 100 where they divide it evenly, else so many times as much. */
export function scaled(weights) {
  const total = sum(weights);
  const hundredths = weights.map((weight) => (weight * 100) / total);
  if (total > 0 && hundredths.every(Number.isInteger)) return hundredths;
  const times = Math.max(1, Math.ceil(100 / Math.max(1, total)));
  return weights.map((weight) => weight * times);
}

/** One weight set, and the others made to fit in proportion, so that the total stays what it is. */
export function rebalanced(weights, index, wanted) {
  const total = sum(weights);
  const value = Math.max(0, Math.min(total, Math.round(wanted)));
  const others = total - weights[index];
  const exact = weights.map((weight, own) =>
    own === index ? value : others > 0 ? (weight * (total - value)) / others : 0,
  );
  const whole = exact.map(Math.floor);
  const order = exact.map((one, own) => own).filter((own) => own !== index);
  order.sort((a, b) => exact[b] - whole[b] - (exact[a] - whole[a]));
  // What rounding left over goes to those that lost most by it.
  for (let left = total - sum(whole), next = 0; left > 0 && order.length; next += 1) {
    const share = others > 0 ? 1 : left;
    whole[order[next % order.length]] += share;
    left -= share;
  }
  return whole;
}

export const sum = (list) => list.reduce((total, one) => total + one, 0);
