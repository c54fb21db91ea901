//! Hostile texts: no importer panics, and whatever comes out compiles. A seeded walk, the same in
//! every run; `FUZZ_SEED` starts another, `FUZZ_ROUNDS` makes it longer.

use splitway_local::document::Format;
use splitway_local::import::{apisix, httproute};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Words that mean something somewhere.
const WORDS: [&str; 32] = [
    "routes",
    "upstreams",
    "consumers",
    "global_rules",
    "plugins",
    "traffic-split",
    "key-auth",
    "vars",
    "id",
    "null",
    "[]",
    "{}",
    "0",
    "-1",
    "1e400",
    "\"\"",
    "${{A}}",
    "${{A:=7}}",
    "$env://a",
    "*",
    "&a",
    "*a",
    "---",
    "HTTPRoute",
    "List",
    "PathPrefix",
    "Exact",
    "ReplacePrefixMatch",
    "RequestRedirect",
    "rules",
    "/",
    "é",
];

/// The text with some lines and words of it elsewhere.
fn mutated(text: &str, chance: &mut Chance) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=chance.below(3) {
        let (from, to) = (chance.below(lines.len()), chance.below(lines.len()));
        match chance.below(5) {
            0 => lines.swap(from, to),
            1 => lines[to] = lines[from].clone(),
            2 if lines.len() > 1 => drop(lines.remove(from)),
            _ => {
                let line = lines[from].clone();
                let words: Vec<&str> = line.split_inclusive([' ', ',', '{', '[']).collect();
                let hit = chance.below(words.len().max(1));
                let word = WORDS[chance.below(WORDS.len())];
                let words = words.iter().enumerate();
                lines[from] =
                    words.map(|(index, old)| if index == hit { word } else { old }).collect();
            }
        }
    }
    lines.join("\n")
}

#[test]
fn hostile_texts_never_panic_and_what_comes_out_compiles() {
    let mut chance = Chance(environment("FUZZ_SEED", 3));
    let mut imported_count = 0;
    for _ in 0..environment("FUZZ_ROUNDS", 1500) {
        let text = mutated(APISIX, &mut chance);
        if let Ok(imported) = apisix::import(&text, Format::Yaml, &|_| None) {
            imported_count += 1;
            crate::check_sound(&text, &imported);
        }
        let text = mutated(crate::httproute::EVERYTHING, &mut chance);
        if let Ok(imported) = httproute::import(&text, Format::Yaml, "svc.cluster.local") {
            imported_count += 1;
            crate::check_sound(&text, &imported);
        }
    }
    assert!(imported_count > 500, "too few texts were readable to say something: {imported_count}");
}

const APISIX: &str = r#"
routes:
  - id: a
    uri: /a
    upstream_id: u
    plugins:
      traffic-split: {rules: [{weighted_upstreams: [{upstream_id: u, weight: 1}, {weight: 2}]}]}
      prometheus: {}
  - uris: [/b, /c/*]
    host: b.example.com
    upstream: {type: chash, key: uri, nodes: {"b:80": 1}}
    enable_websocket: true
  - {uri: /d, service_id: s, vars: [[arg_a, ==, b]]}
upstreams:
  - {id: u, nodes: [{host: u, port: 80, weight: 1, priority: 0}], retries: 1}
services: [{id: s, upstream_id: u}]
consumers: [{username: jack}, {id: jack/credentials/c1, plugins: {key-auth: {key: k}}}]
global_rules: [{id: 1, plugins: {prometheus: {}}}]
routes_conf_version: 1
#END
"#;
