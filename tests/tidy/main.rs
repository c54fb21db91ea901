//! The rules of the house that neither the compiler nor clippy knows (src/core/lib.rs, "Invariants").

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Rust files directly in a folder, by name without ending.
fn modules(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let rust = paths.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Core modules in the order of `lib.rs`, which is the order of their dependencies.
fn core_modules() -> Vec<String> {
    let text = source("src/core/lib.rs");
    let lines = text.lines().map(|line| line.strip_prefix("pub ").unwrap_or(line));
    let names = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// A server has rooms that a Worker does not need; what both have stands under the same name.
#[test]
fn every_room_of_the_worker_has_its_twin_in_the_server() {
    let (edge, local) = (modules("src"), modules("local/src"));
    let missing: Vec<_> = edge.difference(&local).collect();
    assert!(missing.is_empty(), "in src/ and not in local/src/: {missing:?}");
}

#[test]
fn core_modules_import_only_those_above_them() {
    let order = core_modules();
    assert_eq!(order.iter().cloned().collect::<BTreeSet<_>>(), {
        let mut files = modules("src/core");
        files.remove("lib");
        files
    });
    for (position, module) in order.iter().enumerate() {
        let inner = format!("src/core/{module}");
        let inner = if root().join(&inner).is_dir() { modules(&inner) } else { BTreeSet::new() };
        let inner = inner.iter().map(|name| source(&format!("src/core/{module}/{name}.rs")));
        let texts: Vec<String> = inner.chain([source(&format!("src/core/{module}.rs"))]).collect();
        for line in texts
            .iter()
            .flat_map(|text| text.lines())
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for imported in line.split("crate::").skip(1) {
                let name: String =
                    imported.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let above = order[..=position].contains(&name);
                assert!(above, "core/{module}.rs imports `{name}`, which stands below it");
            }
        }
    }
}

#[test]
fn only_the_road_and_the_admin_api_wait() {
    for module in core_modules() {
        let waits = source(&format!("src/core/{module}.rs")).contains(".await");
        let may = ["serve", "admin"].contains(&module.as_str());
        assert!(may || !waits, "core/{module}.rs awaits; only `serve` and `admin` do");
    }
}

#[test]
fn the_dependencies_of_the_core_are_a_closed_list() {
    const CLOSED: [&str; 14] = [
        "arc-swap",
        "base64ct",
        "hmac",
        "ipnet",
        "percent-encoding",
        "regex-lite",
        "schemars",
        "serde",
        "serde_json",
        "sha2",
        "siphasher",
        "spki",
        "strsim",
        "subtle",
    ];
    let manifest = source("src/core/Cargo.toml");
    let section = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    let names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != "#").collect();
    assert_eq!(names, CLOSED);
}

#[test]
fn the_top_level_is_what_the_plan_shows() {
    const VISIBLE: [&str; 11] = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "local",
        "package-lock.json",
        // `npx wrangler` finds the pinned wrangler by it.
        "package.json",
        "src",
        "tests",
        "wrangler.toml",
        // Built, ignored by git.
        "build",
    ];
    const BUILT: [&str; 3] = ["node_modules", "target", "splitway-data"];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = VISIBLE.contains(&name.as_str()) || BUILT.contains(&name.as_str());
        assert!(known || name.starts_with('.'), "`{name}` at the top level needs a reason");
    }
}

#[test]
fn nothing_is_left_for_later_in_the_sources() {
    const MARKS: [&str; 4] = ["TO\x44O", "FIX\x4dE", "todo\x21(", "unimplemented\x21("];
    const FOLDERS: [&str; 7] = [
        "src",
        "src/core",
        "local/src",
        "local/src/command",
        "local/src/import",
        "local/src/import/httproute",
        "tests/harness",
    ];
    for folder in FOLDERS {
        for module in modules(folder) {
            let text = source(&format!("{folder}/{module}.rs"));
            for mark in MARKS {
                assert!(!text.contains(mark), "{folder}/{module}.rs contains {mark}");
            }
        }
    }
}

/// What a configuration says is never markup, and nothing comes from elsewhere: what the policy of the page
/// forbids is not tried either.
#[test]
fn the_page_makes_texts_of_texts_and_fetches_from_here() {
    const MARKS: [&str; 15] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "srcdoc",
        "eval(",
        "Function(",
        "import(",
        "javascript:",
        "localStorage",
        "document.cookie",
        ".style",
        "//cdn",
    ];
    let known = source("src/core/page.rs");
    for entry in fs::read_dir(root().join("src/core/page")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = source(&format!("src/core/page/{name}"));
        for mark in MARKS {
            assert!(!text.contains(mark), "page/{name} contains {mark}");
        }
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http:") && !elsewhere.contains("https:"), "page/{name}");
        assert!(known.contains(&format!("page/{name}")), "page/{name} is not sent");
        if name.ends_with(".html") {
            let is_listener =
                |rest: &str| rest.trim_start_matches(char::is_alphabetic).starts_with('=');
            let listens = text.split(" on").skip(1).any(is_listener);
            let inline = text.contains(" style=") || text.contains("<style") || listens;
            assert!(!inline && !text.contains("<script>"), "page/{name} has something inline");
        }
    }
}
