//! `splitway diff` of two documents, and what it says of traffic.

use serde_json::{Value, json};

use crate::fake;
use crate::process::{KEY, Shell};
use crate::scenarios::{FIRST, SECOND};
use crate::simulate::SPLITS;

/// A shell whose server is nowhere, so that nobody is asked.
fn shell() -> Shell {
    let shell = Shell::new("http://127.0.0.1:1");
    shell.write("old.yaml", SPLITS);
    let new = SPLITS.replace("weight: 95", "weight: 92").replace("weight: 5,", "weight: 8,");
    shell.write("new.yaml", &new);
    shell
}

fn traffic(text: &str) -> &str {
    text.split_once("\ntraffic:\n").map_or("", |(_, traffic)| traffic)
}

#[test]
fn diff_tells_how_shares_change_and_which_keys_move() {
    let shell = shell();
    let ran = shell.run("diff old.yaml new.yaml -n 1000");
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    assert!(ran.stdout.starts_with("~ routes/turns\n    @@ "), "{ran:?}");
    assert!(ran.stdout.contains("\n0 to add, 2 to change, 0 to remove\n"), "{ran:?}");
    assert_eq!(
        traffic(&ran.stdout),
        "  turns, rule 0: v1 95 % -> 92 %, v2 5 % -> 8 %\n  \
           keys, rule 0: v1 95 % -> 92 %, v2 5 % -> 8 %\n    \
             2.3 % of 1000 keys move v1 -> v2, 0 move back\n"
    );
    let back = shell.run("diff new.yaml old.yaml -n 1000").stdout;
    assert!(back.contains("\n    2.3 % of 1000 keys move v2 -> v1, 0 move back\n"), "{back}");
    let one = shell.run_with("diff old.yaml new.yaml --keys -", "user-0000001\n\n").stdout;
    assert!(one.ends_with("\n    0 of 1 keys move\n"), "{one}");
}

#[test]
fn diff_tells_which_routes_are_asked_otherwise() {
    let shell = shell();
    let document = |routes: &[Value]| {
        let upstream = json!({"nodes": {"127.0.0.1:1": 1}, "pass_host": "node"});
        let with = |route: &Value| {
            let mut route = route.clone();
            route["upstream"] = upstream.clone();
            route
        };
        json!({"routes": routes.iter().map(with).collect::<Vec<_>>()}).to_string()
    };
    let get = json!({"id": "get", "uri": "/x", "methods": ["GET"]});
    let all = json!({"id": "all", "uri": "/x"});
    shell.write("before.json", &document(&[get.clone(), all.clone()]));
    shell.write("after.json", &document(&[all, get]));
    let ran = shell.run("diff before.json after.json");
    let told = "  route get is never reached: all takes all of it\n  \
                  route all goes ahead of get, for /x\n";
    assert_eq!((ran.code, traffic(&ran.stdout)), (0, told), "{ran:?}");
    let ran = shell.run("diff after.json before.json");
    let told = "  route get is reached again\n  route get goes ahead of all, for /x\n";
    assert_eq!((ran.code, traffic(&ran.stdout)), (0, told), "{ran:?}");
}

#[test]
fn diff_of_two_files_asks_nobody_and_tells_differences_by_its_exit_code() {
    let shell = Shell::new("http://127.0.0.1:1").without("SPLITWAY_ADMIN_KEY");
    shell.write("first.yaml", FIRST);
    shell.write("second.yaml", SECOND);
    let same = "no differences\n";
    shell.run("diff first.yaml first.yaml --exit-code").check(0, same, "");
    shell.run_with("diff - first.yaml --exit-code", FIRST).check(0, same, "");
    assert_eq!(shell.run("diff first.yaml second.yaml").code, 0);
    assert_eq!(shell.run("diff first.yaml second.yaml --exit-code").code, 1);
}

#[test]
fn diff_prints_json_for_machines() {
    let shell = shell();
    let ran = shell.run("diff old.yaml new.yaml -n 1000 --format json --exit-code");
    assert_eq!((ran.code, &*ran.stderr), (1, ""));
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let change = &told["changes"][0];
    assert_eq!([&change["op"], &change["kind"], &change["id"]], ["change", "routes", "turns"]);
    let branch = |name, before: u32, after: u32| {
        let share = |weight: u32| json!({"weight": weight, "percent": f64::from(weight)});
        json!({"name": name, "before": share(before), "after": share(after)})
    };
    let branches = json!([branch("v1", 95, 92), branch("v2", 5, 8)]);
    let moves = json!([{"from": "v1", "to": "v2", "count": 23, "percent": 2.3}]);
    let none = json!([]);
    assert_eq!(
        told["traffic"],
        json!({
            "is_rerouted": false, "added": none, "removed": none, "rematched": none,
            "shadowed": none, "unshadowed": none, "overtakes": none,
            "splits": [
                {"route": "turns", "rule": 0, "branches": branches, "keys_decide": "never", "keys": null},
                {"route": "keys", "rule": 0, "branches": branches, "keys_decide": "still",
                    "keys": {"count": 1000, "moves": moves}},
            ],
        })
    );
}

#[test]
fn diff_tells_what_is_wrong_with_either_document() {
    let shell = shell();
    shell.write("faulty.yaml", "routes:\n  - {id: a, upstream_id: u}\n");
    for words in ["faulty.yaml new.yaml", "old.yaml faulty.yaml"] {
        let ran = shell.run(&format!("diff {words}"));
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{ran:?}");
        assert!(ran.stderr.starts_with("error: /routes/0"), "{ran:?}");
        assert!(ran.stderr.contains("\nfaulty.yaml: "), "{ran:?}");
    }
    for (words, told) in [
        ("- -", "error: standard input can be read once"),
        ("- new.yaml --keys -", "error: standard input can be read once"),
        ("old.yaml ftp://x", "expected http:// or https://"),
        ("old.yaml absent.yaml", "error: absent.yaml: cannot be read: "),
        ("old.yaml http://127.0.0.1:1", "error: no answer from http://127.0.0.1:1: "),
    ] {
        let ran = shell.run(&format!("diff {words}"));
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(told), "{words}: {ran:?}");
    }
}

#[test]
fn diff_of_a_server_needs_no_more_than_its_document() {
    let (origin, _) = fake::start(
        "/ops",
        json!({"routes": [{"id": "a", "uri": "/a",
        "upstream": {"nodes": {"127.0.0.1:1": 1}, "pass_host": "node"}}]}),
    );
    let shell = shell();
    let server = format!("http://{}/ops", origin.authority());
    let ran = shell.run(&format!("diff {server} old.yaml"));
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let told =
        "  route turns is new\n  route keys is new\n  route whole is new\n  route a is gone\n";
    assert_eq!(traffic(&ran.stdout), told);
    let request = origin.only_request();
    assert_eq!((&*request.method, &*request.target), ("GET", "/ops/splitway/v1/config"));
    assert_eq!(request.header("x-api-key").as_deref(), Some(KEY));
}

#[test]
fn diff_with_a_server_goes_on_where_its_document_cannot_be_compiled_here() {
    // The document of a later version, say: it has no upstream.
    let (origin, _) = fake::start("", json!({"routes": [{"id": "a", "uri": "/a"}]}));
    let shell = Shell::new(&format!("http://{}", origin.authority()));
    shell.write("first.yaml", FIRST);
    let ran = shell.run("diff first.yaml --exit-code");
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.ends_with("\n2 to add, 1 to change, 0 to remove\n"), "{ran:?}");
    let why = "one of the documents has faults here";
    let told = format!("warning: what this changes for traffic is not known: {why}\n");
    assert_eq!(ran.stderr, told);
    let json = shell.run("diff first.yaml --format json").stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["changes"].as_array().unwrap().len(), &json["traffic"]), (3, &Value::Null));
}
