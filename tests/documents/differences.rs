//! The one table of deliberate differences to APISIX, written from the tables that the tests go by.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use splitway_tests::{dialogues, scenarios};

use crate::schema::WRITE;

const HEADER: &str = "\
# Deliberate differences to APISIX

Each row is an observation of APISIX 3.13 and 3.18 that does not hold here, what Splitway does instead,
and why. All other observations hold as they are: `tests/scenarios/vectors`, `tests/dialogues` and
`src/core/expr` play them. `cargo xtask schema` writes this file.

| observation | of | Splitway | why |
|---|---|---|---|
";

#[test]
fn the_table_of_differences_is_that_of_the_tests() {
    let mut table = HEADER.to_owned();
    let rows = scenarios::vectors::differences().into_iter();
    for row in rows.chain(dialogues::vectors::differences()).chain(of_expressions()) {
        let cells = row.map(|cell| cell.replace('|', "\\|"));
        writeln!(table, "| {} |", cells.join(" | ")).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("DIFFERENCES.md");
    if std::env::var_os(WRITE).is_some() {
        return std::fs::write(path, table).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == table, "tests/DIFFERENCES.md is not up to date: run `cargo xtask schema`");
}

/// Those of expressions, which the core tests by itself.
fn of_expressions() -> Vec<[String; 4]> {
    let read = |text| serde_json::from_str::<Vec<Value>>(text).unwrap();
    let vectors = read(include_str!("../../src/core/expr/vectors.json"));
    let row = |difference: Value| {
        let vector = vectors.iter().find(|vector| vector["id"] == difference["id"]).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let refused = format!("refused: `{}`", text(&difference["fault"]).replace('`', ""));
        [text(&difference["id"]), text(&vector["name"]), refused, text(&difference["why"])]
    };
    read(include_str!("../../src/core/expr/differences.json")).into_iter().map(row).collect()
}
