use super::*;

fn told(document: &str) -> Option<(String, String, Vec<String>)> {
    let operation = parse(document)?;
    let (kind, name) = (operation.kind.to_owned(), operation.name.to_owned());
    Some((kind, name, operation.fields().into_iter().map(str::to_owned).collect()))
}

#[test]
fn the_first_operation_is_told() {
    for (document, kind, name, fields) in [
        (
            "query getRepo { owner { name } repo { created } }",
            "query",
            "getRepo",
            vec!["owner", "repo"],
        ),
        ("{a}", "query", "", vec!["a"]),
        (
            "\u{feff}# } {\nmutation M($a: [Int!]! = [1, 2] @d(x: \"}\"), $b: In = {c: 1}) @e { b }",
            "mutation",
            "M",
            vec!["b"],
        ),
        (
            "subscription { alias: real(a: {b: [\"}\", -1.5e+3]}) @include(if: $x) { deep { deeper } } , c }",
            "subscription",
            "",
            vec!["real", "c"],
        ),
        (r#"{ a(s: """ } \""" { """) b(s: "\"}") }"#, "query", "", vec!["a", "b"]),
        ("query A { a } query B { b }", "query", "A", vec!["a"]),
        (
            "fragment F on Q { x ...G } query A { a ...F ... on Q @d { i } ...@d { j } z } fragment G on Q { y ...F }",
            "query",
            "A",
            vec!["a", "x", "y", "i", "j", "z"],
        ),
        ("query on { on }", "query", "on", vec!["on"]),
        ("{ query mutation fragment }", "query", "", vec!["query", "mutation", "fragment"]),
        ("{}", "query", "", vec![]),
    ] {
        let fields = fields.into_iter().map(str::to_owned).collect();
        assert_eq!(told(document), Some((kind.to_owned(), name.to_owned(), fields)), "{document}");
    }
}

#[test]
fn what_is_no_document_says_nothing() {
    let deep = "{a".repeat(10_000);
    let inline = format!("{{{}", "...{".repeat(10_000));
    for document in [
        "",
        "#",
        "{",
        "}",
        "{a",
        "{a)}",
        "query",
        "query {",
        "fragment F on Q { a }",
        "{a(b:\"\n\")}",
        "{a} ?",
        "{..a}",
        "{a(}",
        &deep,
        &inline,
    ] {
        assert_eq!(told(document), None, "{document:.40}");
    }
}

/// The work for a document is at most proportional to its length, whatever its fragments name.
#[test]
fn many_spreads_are_followed_up_to_a_bound() {
    let spreads: String = (0..26_000).map(|at| format!("...F{at} ")).collect();
    let fragments: String = (0..26_000).map(|at| format!("fragment F{at} on Q{{f{at}}}")).collect();
    let (_, _, fields) = told(&format!("{{a {spreads}}}{fragments}")).expect("a document");
    assert_eq!(fields.len(), FIELDS_MAX);
    assert_eq!(fields.get(..3).expect("three"), ["a", "f0", "f1"]);
    let unknown = "...G ".repeat(SPREADS_MAX);
    let (_, _, fields) = told(&format!("{{a {unknown} b ...H late}}")).expect("a document");
    assert_eq!(fields, ["a", "b"]);
    let twice = "{...F ...F} fragment F on Q{a} fragment F on Q{b}";
    let (_, _, fields) = told(twice).expect("a document");
    assert_eq!(fields, ["a"], "the first fragment of a name counts, once");
}

/// Whatever the text, there is an answer; the seed is fixed.
#[test]
fn garbage_never_panics() {
    const PIECES: [&str; 22] = [
        "{", "}", "(", ")", "[", "]", "...", "\"", "\"\"\"", "\\", "#", "\n", ":", "@", "$", "on",
        "query", "fragment", " a ", "é", "1", ",",
    ];
    let mut state = 7_u64;
    for _ in 0..50_000 {
        let mut text = String::from("{");
        for _ in 0..16 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(PIECES[(state >> 33) as usize % PIECES.len()]);
        }
        told(&text);
    }
}
