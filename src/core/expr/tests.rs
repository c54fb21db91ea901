//! Expressions over terms of any name, so that what is tested is not what variables there are.

use std::borrow::Cow;

use super::*;

/// A term that takes any name but `nope`.
#[derive(Debug, PartialEq)]
struct Any(String);

impl Term for Any {
    fn parse(name: &str) -> Result<Self, String> {
        if name == "nope" {
            Err("unknown variable `nope`".to_owned())
        } else {
            Ok(Self(name.to_owned()))
        }
    }
}

fn value_of(vars: &Json, name: &str) -> Option<Value<'static>> {
    match vars.get(name)? {
        Json::Null => None,
        Json::String(text) => Some(Value::Text(Cow::Owned(text.clone()))),
        other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            Some(Value::Json(other.clone()))
        }
    }
}

fn compile(expr: &Json) -> Result<Expr<Any>, Vec<String>> {
    let mut report = Report::default();
    let root = At::Root;
    match Expr::compile(expr, root.key("vars"), &mut report) {
        Some(expr) if report.faults.is_empty() => Ok(expr),
        _ => {
            Err(report.faults.iter().map(|fault| format!("{}: {}", fault.at, fault.what)).collect())
        }
    }
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

fn holds(expr: &str, vars: &str) -> bool {
    let vars = json(vars);
    compile(&json(expr)).unwrap().holds(&|term| value_of(&vars, &term.0))
}

fn why_not(expr: &str, vars: &str) -> Option<String> {
    let vars = json(vars);
    compile(&json(expr)).unwrap().why_not(&|term| value_of(&vars, &term.0))
}

fn faults(expr: &str) -> Vec<String> {
    compile(&json(expr)).expect_err(expr)
}

#[test]
fn every_observation_of_apisix_holds() {
    let vectors = json(include_str!("vectors.json"));
    // These are refused: the fault, and why. tests/DIFFERENCES.md tells them, too.
    let differences = json(include_str!("differences.json"));
    let differences = differences.as_array().unwrap();
    for vector in vectors.as_array().unwrap() {
        let id = vector["id"].as_str().unwrap();
        let compiled = compile(&vector["expr"]);
        if let Some(difference) = differences.iter().find(|own| own["id"] == id) {
            let faults = compiled.expect_err(id);
            let fault = difference["fault"].as_str().unwrap();
            assert!(faults[0].contains(fault), "{id}: {faults:?}");
            continue;
        }
        if let Some(error) = vector.get("error") {
            let faults = compiled.expect_err(id);
            assert!(
                faults[0].ends_with(&format!(": {}", error.as_str().unwrap())),
                "{id}: {faults:?}"
            );
            continue;
        }
        let compiled = compiled.unwrap_or_else(|faults| panic!("{id}: {faults:?}"));
        for case in vector["cases"].as_array().unwrap() {
            let held = compiled.holds(&|term| value_of(&case["vars"], &term.0));
            assert_eq!(held, case["result"].as_bool().unwrap(), "{id}: {}", case["vars"]);
        }
    }
}

#[test]
fn all_operators_compare_as_in_apisix() {
    for (expr, vars, expected) in [
        (r#"[["k", "==", "v"]]"#, r#"{"k": "v"}"#, true),
        (r#"[["k", "==", "18"]]"#, r#"{"k": "18.0"}"#, false),
        (r#"[["k", "==", true]]"#, r#"{"k": true}"#, true),
        (r#"[["k", "==", null]]"#, "{}", true),
        (r#"[["k", "~=", null]]"#, r#"{"k": ""}"#, true),
        (r#"[["k", "=="]]"#, "{}", true),
        (r#"[["k", "==", [1]]]"#, r#"{"k": [1]}"#, false),
        (r#"[["k", "<=", "0x10"]]"#, r#"{"k": "16"}"#, true),
        (r#"[["k", ">", "x"]]"#, r#"{"k": "1"}"#, false),
        (r#"[["k", ">", 1]]"#, r#"{"k": "nan"}"#, false),
        (r#"[["k", "<=", 1]]"#, r#"{"k": "nan"}"#, false),
        (r#"[["k", "==", 1]]"#, r#"{"k": "nan"}"#, false),
        (r#"[["k", "~=", 1]]"#, r#"{"k": "nan"}"#, true),
        (r#"[["k", "~=", 1]]"#, r#"{"k": true}"#, true),
        (r#"[["k", ">", 1]]"#, r#"{"k": 2}"#, true),
        (r#"[["k", "~~", "^a"]]"#, r#"{"k": "ab"}"#, true),
        (r#"[["k", "~~", "a$"]]"#, "{}", false),
        (r#"[["k", "~~", 5]]"#, r#"{"k": 15}"#, true),
        (r#"[["k", "~~", "^true$"]]"#, r#"{"k": true}"#, true),
        (r#"[["k", "~~", "."]]"#, r#"{"k": ["a"]}"#, false),
        (r#"[["k", "!", "~*", "^A"]]"#, r#"{"k": "ab"}"#, false),
        (r#"[["k", "in", ["a", "b"]]]"#, r#"{"k": "b"}"#, true),
        (r#"[["k", "in", []]]"#, r#"{"k": "b"}"#, false),
        (r#"[["k", "in", [null, true]]]"#, r#"{"k": true}"#, true),
        (r#"[["k", "in", [null]]]"#, "{}", false),
        (r#"[["k", "has", 1]]"#, r#"{"k": [2, 1]}"#, true),
        (r#"[["k", "has", "1"]]"#, r#"{"k": [1]}"#, false),
        (r#"[["k", "HAS", "a"]]"#, r#"{"k": ["a"]}"#, true),
        (r#"[["k", "ipmatch", ["10.0.0.0/8", "::1"]]]"#, r#"{"k": "10.1.2.3"}"#, true),
        (r#"[["k", "ipmatch", "10.0.0.1"]]"#, r#"{"k": "::ffff:10.0.0.1"}"#, true),
        (r#"[["k", "ipmatch", "10.0.0.1"]]"#, r#"{"k": "x"}"#, false),
        (r#"[["k", "!", "ipmatch", "10.0.0.1"]]"#, "{}", true),
        (r#"[["k", "JACK"]]"#, r#"{"k": "jack"}"#, true),
        (r#"[["k", 18]]"#, r#"{"k": "18"}"#, true),
        (r#"[["k", 18]]"#, r#"{"k": "18.0"}"#, false),
    ] {
        assert_eq!(holds(expr, vars), expected, "{expr} {vars}");
    }
}

#[test]
fn groups_nest() {
    for (expr, vars, expected) in [
        ("[]", "{}", true),
        (r#"[[["a", "==", "1"], ["b", "==", "1"]]]"#, r#"{"a": "1"}"#, false),
        (r#"["or", ["a", "==", "1"], ["b", "==", "1"]]"#, r#"{"b": "1"}"#, true),
        (
            r#"[["Or", ["a", "==", "1"], ["b", "==", "1"]], ["c", "==", "1"]]"#,
            r#"{"b": "1"}"#,
            false,
        ),
        (r#"["!AND", ["a", "==", "1"], ["b", "==", "1"]]"#, r#"{"b": "1"}"#, true),
        (
            r#"["!or", ["a", "==", "1"], [["b", "==", "1"], ["c", "==", "1"]]]"#,
            r#"{"b": "1"}"#,
            true,
        ),
    ] {
        assert_eq!(holds(expr, vars), expected, "{expr} {vars}");
    }
}

#[test]
fn every_fault_is_named_where_it_is() {
    for (expr, expected) in [
        ("null", vec!["/vars: missing argument rule"]),
        ("{}", vec!["/vars: an expression is a list of comparisons"]),
        (r#"["k", "==", "v"]"#, vec!["/vars: rule should be wrapped inside brackets"]),
        (r#"[["k", "==", "v"], "x"]"#, vec!["/vars/1: rule should be wrapped inside brackets"]),
        (r#"["OR", ["k", "==", "v"]]"#, vec!["/vars: rule too short"]),
        (r#"[["k", "=", "v"]]"#, vec!["/vars/0/1: invalid operator '='; did you mean `==`?"]),
        (
            r#"[["k", "!", "!=", "v"]]"#,
            vec!["/vars/0/2: invalid operator '!='; did you mean `~=`?"],
        ),
        (
            r#"[["k", "ipmach", "v"]]"#,
            vec!["/vars/0/1: invalid operator 'ipmach'; did you mean `ipmatch`?"],
        ),
        (r#"[["k", "not", "==", "v"]]"#, vec!["/vars/0: bad 'not' expression"]),
        (
            r#"[["k", "==", 1, 2, 3]]"#,
            vec!["/vars/0: invalid expression: a comparison has four elements at most"],
        ),
        (r#"[["k", ["a"]]]"#, vec!["/vars/0: invalid expression"]),
        (r#"[[1, "==", "v"]]"#, vec!["/vars/0/0: expected the name of a variable, or a list"]),
        (r#"[["k", "~~"]]"#, vec!["/vars/0/1: expected a pattern"]),
        (
            r#"[["nope", "~~", "("], ["k", "!", "ipmatch", ["1.1.1.1", "x", 5]]]"#,
            vec![
                "/vars/0/0: unknown variable `nope`",
                "/vars/0/2: invalid pattern",
                "/vars/1/3/1: invalid ip address: x",
                "/vars/1/3/2: invalid ip address: 5",
            ],
        ),
    ] {
        let found = faults(expr);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        if expr.contains("\"(\"") {
            assert!(found[1].starts_with("/vars/0/2: invalid pattern"), "{found:?}");
            assert_eq!((found[0], &found[2..]), (expected[0], &expected[2..]));
        } else {
            assert_eq!(found, expected, "{expr}");
        }
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = "[".repeat(100) + &"]".repeat(100);
    assert!(faults(&nested)[0].contains("nested deeper than 16"));
    let long = format!("[{}]", vec![r#"["k", "==", "v"]"#; 2000].join(","));
    assert_eq!(faults(&long), ["/vars/999: more than 1000 comparisons in one expression"]);
}

#[test]
fn what_fails_first_is_told_with_its_value() {
    let both = r#"[["a", "==", "jack"], ["b", "!", "<", 16]]"#;
    for (expr, vars, told) in [
        (both, r#"{"a": "jack", "b": "16"}"#, None),
        (both, r#"{"a": "rose"}"#, Some(r#"a == "jack": it is "rose""#)),
        (both, r#"{"a": "jack", "b": "15"}"#, Some(r#"b ! < 16: it is "15""#)),
        (both, "{}", Some(r#"a == "jack": it is absent"#)),
        (
            r#"[["OR", ["a", "==", "1"], ["b", "in", [2]]]]"#,
            r#"{"b": true}"#,
            Some(r#"a == "1": it is absent"#),
        ),
        (
            r#"[["OR", ["a", "==", "1"], ["b", "==", "2"]], ["c", "==", "3"]]"#,
            r#"{"b": "2", "c": [1]}"#,
            Some(r#"c == "3": it is [1]"#),
        ),
        (
            r#"["!OR", ["a", "==", "1"], ["b", "==", "2"]]"#,
            r#"{"b": "2"}"#,
            Some(r#"b == "2" holds and must not: it is "2""#),
        ),
    ] {
        assert_eq!(why_not(expr, vars).as_deref(), told, "{expr} {vars}");
    }
}

#[test]
fn all_terms_are_listed() {
    let expr = json(r#"["OR", ["a", "==", "1"], [["b", "==", "1"], ["c", "!", "==", "1"]]]"#);
    let compiled = compile(&expr).unwrap();
    assert_eq!(compiled.terms().map(|term| term.0.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}
