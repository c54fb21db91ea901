//! Documents as texts: what is written is read back as it was.

use serde_json::{Value, json};
use splitway_local::document::{Format, parse, parse_all, write};

#[test]
fn texts_that_look_like_something_else_stay_texts() {
    let texts = [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "N",
        "true",
        "False",
        "null",
        "Null",
        "~",
        "",
        "1",
        "01",
        "0x1",
        "0o7",
        "0b1",
        "1_000",
        "1e3",
        "-1",
        "+1",
        ".5",
        "1.",
        ".inf",
        "-.INF",
        ".nan",
        "12:30:45",
        "2025-07-31",
        "=",
        "<<",
        "---",
        "--- a",
        "...",
        "-",
        "- a",
        "?",
        "? a",
        ":",
        "a:",
        "a: b",
        "a #b",
        "#a",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        "\"",
        "'a'",
        "\\",
        " a",
        "a ",
        "\ta",
        "a\nb",
        "a\n",
        "\n",
        "a\n\nb\n\n",
        " a\n b",
        "a\r\nb",
        "a\rb",
        "\u{0}",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{feff}",
        "\u{feff}a",
        "é",
        "字",
        "\u{1f600}",
        "${{A}}",
        "$a",
        "a, b",
        "/v1/*",
        "*.example.com",
        "api.example.com:443",
        "[::1]:80",
        "127.0.0.1:80",
    ];
    for text in texts {
        let long =
            format!("{text} and so on, for longer than what fits into a line of eighty {text}");
        for text in [text, &long] {
            check(&json!(text));
            check(&json!({text: text}));
            check(&json!([text, [text], {"a": [{text: [text]}]}]));
        }
    }
}

#[track_caller]
fn check(value: &Value) {
    for format in [Format::Json, Format::Yaml] {
        // A document of its own is never null, and the reader says so.
        let document = json!({"it": value});
        let text = write(&document, format);
        assert_eq!(parse(&text, format), Ok(document), "{text}");
        assert!(text.ends_with('\n'), "{text}");
    }
}

#[test]
fn what_is_no_text_stays_what_it_is() {
    for value in [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.5),
        json!(-2.5e-7),
        json!(1e300),
        json!([]),
        json!({}),
        json!([[], {}, [[]], [{}]]),
        json!({"a": {}, "b": [], "c": [{"d": []}, [1, [2]]]}),
    ] {
        check(&value);
    }
}

#[test]
fn what_names_a_resource_comes_first() {
    let document = json!({"routes": [{"desc": "d", "uri": "/", "id": "r", "name": "nn"}]});
    let yaml = "routes:\n  - id: r\n    name: nn\n    desc: d\n    uri: /\n";
    assert_eq!(write(&document, Format::Yaml), yaml);
}

#[test]
fn a_text_may_hold_several_documents() {
    let text = "\u{feff}# one\na: 1\n---\n---\n# nothing\n---\na: 2\n...\n";
    assert_eq!(parse_all(text, Format::Yaml), Ok(vec![json!({"a": 1}), json!({"a": 2})]));
    assert_eq!(parse_all("{\"a\": 1}", Format::Json), Ok(vec![json!({"a": 1})]));
    assert_eq!(parse_all("", Format::Yaml), Ok(Vec::new()));
    let fault = parse_all("a: 1\n---\nb: [", Format::Yaml).unwrap_err();
    assert_eq!(fault.line, 3, "{fault}");
}
