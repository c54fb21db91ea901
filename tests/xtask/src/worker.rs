//! Builds the Worker.

use std::process::Command;

use crate::setup::Kit;
use crate::step::{Outcome, ask, run, say};

/// Runs worker-build into `build/`, then says how much of the Worker's size limit is used.
pub(crate) fn build(kit: &Kit) -> Outcome {
    let mut worker_build = kit.wasm_command(&kit.worker_build);
    worker_build
        .arg("--release")
        // A fifth smaller than for speed; the Worker spends its time in the runtime, not in here.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        // What a client leaves behind is put in order: an attempt that is under way ends, and whoever
        // counts it is told. The runtime would else forget the request where it waits.
        .env("RUN_TO_COMPLETION", "1")
        .env("WASM_BINDGEN_BIN", &kit.wasm_bindgen)
        .env("WASM_OPT_BIN", kit.node_bin("wasm-opt"))
        .env("ESBUILD_BIN", kit.node_bin("esbuild"));
    run("worker", &mut worker_build)?;
    if let Some(sizes) = ask(&mut measure(kit)) {
        say(&sizes);
    }
    Ok(())
}

/// Node.js has gzip at hand, the measure in which Cloudflare states its limit.
fn measure(kit: &Kit) -> Command {
    const SCRIPT: &str = "
        const files = ['build/index.js', 'build/index_bg.wasm'].map((f) => fs.readFileSync(f));
        const kib = (parts) => (parts.reduce((sum, p) => sum + p.length, 0) / 1024).toFixed(1);
        const zipped = files.map((file) => zlib.gzipSync(file));
        `the Worker is ${kib(files)} KiB, ${kib(zipped)} KiB gzipped`";
    let mut node = kit.command(kit.node_bin("node"));
    node.arg("--print").arg(SCRIPT);
    node
}
