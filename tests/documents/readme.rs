//! What the README shows as whole documents compiles.

use splitway_local::document::{Format, read};

/// The blocks of YAML in the README.
fn blocks() -> impl Iterator<Item = &'static str> {
    let blocks = include_str!("../../README.md").split("```yaml\n").skip(1);
    blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
}

#[test]
fn every_whole_document_of_the_readme_compiles() {
    let keys = ["routes:", "upstreams:", "settings:", "consumers:", "global_rules:"];
    let is_whole = |block: &&str| keys.iter().any(|key| block.starts_with(key));
    let documents: Vec<&str> = blocks().filter(is_whole).collect();
    for document in &documents {
        if let Err(defect) = read(document, Format::Yaml) {
            panic!("{defect:?}\n{document}");
        }
    }
    assert!(documents.len() > 8, "the README shows documents: {}", documents.len());
}
