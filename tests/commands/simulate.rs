//! `splitway simulate`.

use std::fs::File;

use serde_json::{Value, json};

use crate::process::Shell;

/// One route whose requests take turns and one where a key decides, and one that is not split.
pub(crate) const SPLITS: &str = r#"
routes:
  - id: turns
    uri: /turns
    upstream_id: u
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - {name: v1, weight: 95, rewrite: {uri: /1}}
              - {name: v2, weight: 5, rewrite: {uri: /2}}
  - id: keys
    uri: /keys
    upstream_id: u
    plugins:
      traffic-split:
        rules:
          - sticky: {by: ["header:x-user"]}
            weighted_upstreams:
              - {name: v1, weight: 95, rewrite: {uri: /1}}
              - {name: v2, weight: 5, rewrite: {uri: /2}}
  - id: whole
    uri: /whole
    upstream_id: u
upstreams:
  - id: u
    nodes: {"127.0.0.1:1": 1}
    pass_host: node
"#;

fn shell() -> Shell {
    let shell = Shell::new("http://127.0.0.1:1");
    shell.write("splits.yaml", SPLITS);
    shell
}

/// What `--format json` prints.
fn json_of(shell: &Shell, words: &str, input: &str) -> Value {
    let ran = shell.run_with(&format!("simulate --format json {words}"), input);
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn simulate_tells_shares_that_are_exact() {
    shell().run("simulate --config splits.yaml --route turns -n 2000").check(
        0,
        "turns, rule 0: 2000 requests by turns\n\
         branch  weight  asked      got        count  longest gap  ideal gap\n\
         v1      95      95.0000 %  95.0000 %  1900   1            0.05\n\
         v2      5       5.0000 %   5.0000 %   100    19           19.00\n\
         largest deviation in any 20 in a row: 0\n",
        "",
    );
    let few = shell().run("simulate --config splits.yaml --route turns --requests 19");
    assert!(few.stdout.ends_with("\nfewer than the 20 in which turns are exact\n"), "{few:?}");
    shell().run("simulate --config splits.yaml --route whole").check(0, "nothing is split\n", "");
}

#[test]
fn simulate_tells_json_that_stays_the_same() {
    let told = json_of(&shell(), "--config - -n 100 --route turns", SPLITS);
    let revision = told["revision"].as_str().unwrap();
    assert_eq!(revision.len(), 16);
    let branch = |name, weight: u32, gaps: [Value; 2]| {
        let [longest, ideal] = gaps;
        let percent = f64::from(weight);
        json!({"name": name, "weight": weight, "asked_percent": percent, "got_percent": percent,
            "count": weight, "longest_gap": longest, "ideal_gap": ideal})
    };
    let ideal = told["splits"][0]["branches"][0]["ideal_gap"].clone();
    assert!((ideal.as_f64().unwrap() - 1.0 / 19.0).abs() < 1e-9, "{ideal}");
    let expected = json!({"revision": revision, "splits": [{
        "route": "turns", "rule": 0, "by": "turns", "requests": 100, "period": 20,
        "window_deviation": 0,
        "branches": [
            branch("v1", 95, [json!(1), ideal]),
            branch("v2", 5, [json!(19), json!(19.0)]),
        ],
    }]});
    assert_eq!(told, expected);
}

#[test]
fn simulate_asks_keys_where_they_decide() {
    let shell = shell();
    let told = json_of(&shell, "--config splits.yaml -n 10000", "");
    let keyed = &told["splits"][1];
    assert_eq!((&keyed["by"], &keyed["requests"]), (&json!("keys"), &json!(10_000)));
    let got = keyed["branches"][1]["got_percent"].as_f64().unwrap();
    assert!((4.0..6.0).contains(&got), "{got}");
    assert_eq!(told["splits"][0]["window_deviation"], 0);

    // The same keys get the same branches, from wherever they are read.
    let keys: String = (1..=10_000).map(|number| format!("user-{number:07}\n")).collect();
    let words = "--config splits.yaml --route keys --keys";
    let read = json_of(&shell, &format!("{words} -"), &keys);
    assert_eq!(&read["splits"][0], keyed);
    shell.write("keys.txt", &keys);
    let few = json_of(&shell, &format!("{words} keys.txt -n 7"), "");
    assert_eq!(few["splits"][0]["requests"], 7);
    assert_eq!(few["splits"][0]["window_deviation"], Value::Null);
}

#[test]
fn simulate_draws_a_plot_for_each_split() {
    let shell = shell();
    let ran = shell.run("simulate --config splits.yaml -n 1000 --plot plot.svg");
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let svg = shell.read("plot.svg");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    for text in ["turns, rule 0: 1000 requests by turns", "keys, rule 0: 1000 keys", "v2 5.00 %"] {
        assert!(svg.contains(&format!(">{text}</text>")), "{text} in {svg}");
    }
    assert!(svg.contains("prefers-color-scheme:dark"), "{svg}");
    let ran = shell.run("simulate --config splits.yaml -n 9 --plot absent/plot.svg");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("error: absent/plot.svg cannot be written: "), "{ran:?}");
}

#[test]
fn simulate_tells_what_is_wrong() {
    let shell = shell();
    shell.write("faulty.yaml", "routes:\n  - {id: a, uri: /a, upstraem: {}}\n");
    shell.write("route.yaml", "uri: /a\nupstream: {}\n");
    let long = "k".repeat(70_000);
    shell.write("long.txt", &long);
    for (words, told) in [
        ("--config absent.yaml", "error: absent.yaml: cannot be read: "),
        (
            "--config faulty.yaml",
            "error: /routes/0/upstraem: unknown key; did you mean `upstream`?\n",
        ),
        ("--config faulty.yaml", "\nfaulty.yaml: 1 fault\n"),
        ("--config route.yaml", "\nhint: this looks like one route; "),
        ("--config splits.yaml --route x", "error: there is no enabled route `x`\n"),
        ("--config splits.yaml --keys absent.txt", "error: absent.txt: cannot be read: "),
        ("--config splits.yaml --keys long.txt -n 9", "line 1 is longer than 65536 bytes"),
        ("--config - --keys -", "error: standard input can be read once"),
        ("--config splits.yaml -n 0", "invalid value '0'"),
        ("", "--config <FILE>"),
    ] {
        let ran = shell.run(&format!("simulate {words}"));
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{words}: {ran:?}");
        assert!(ran.stderr.contains(told), "{words}: {ran:?}");
    }
    let unused = shell.run("simulate --config splits.yaml --route turns -n 9 --keys absent.txt");
    assert_eq!(unused.code, 0);
    assert_eq!(unused.stderr, "warning: no key decides here: --keys is not used\n");
}

#[test]
fn simulate_takes_the_document_of_the_server_and_says_when_nobody_can_read() {
    let shell = shell().with("SPLITWAY_CONFIG", "splits.yaml");
    assert_eq!(shell.run("simulate -n 9").code, 0);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = shell.command("simulate -n 9").stdout(full).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("error: the output cannot be written: "), "{told}");
}
