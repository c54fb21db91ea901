//! Builds the Worker: two wasm modules in one upload, of which an isolate that serves loads one.

use std::fs;
use std::process::Command;

use crate::setup::Kit;
use crate::step::{Failure, Outcome, ask, run, say};

/// The modules by their features: what worker-build makes of them goes to `target/worker/`, and what is
/// uploaded of it to `build/`.
const MODULES: [(&str, &str); 2] =
    [("serve", "build/index_bg.wasm"), ("control", "build/control_bg.wasm")];

/// What every isolate loads, in bytes gzipped (level 9): the script and the module that serves, as last
/// measured. Whoever makes it more than [`GROWTH_MAX`] larger says so here; whoever makes it smaller, too.
const SERVE_GZIPPED: u32 = 558_000;

/// By how many percent it may grow unnoticed.
const GROWTH_MAX: u32 = 5;

/// To LLVM the body of a function weighs ten times as much as it would, and so does what a call saves: what has
/// one caller, which it puts into that whatever it weighs, it so puts there if it is small. V8 compiles a
/// function when it is first called, which is most of what the first request of an isolate takes: of a few
/// large functions it would compile what nobody calls.
const SMALL_FUNCTIONS: &str = "-Cllvm-args=-inline-threshold=50 -Cllvm-args=-inline-instr-cost=50 \
                               -Cllvm-args=-inline-call-penalty=250";

/// The same, told to wasm-opt, by the size of a function.
const SMALL_FUNCTIONS_OPT: &str = "--one-caller-inline-max-function-size=100";

/// What is about as small as a call of it goes into whoever calls it: V8 takes some us for each function that is
/// called for the first time, and a while for each call of it.
const TINY_FUNCTIONS_OPT: &str = "--always-inline-max-function-size=6";

/// Builds the Worker into `build/` and says how large it is; refuses one that has grown.
pub(crate) fn build(kit: &Kit) -> Outcome {
    for (module, _) in MODULES {
        worker_build(kit, module)?;
    }
    put_together(kit)?;
    for (module, wasm) in MODULES {
        shrink(kit, module, wasm)?;
    }
    let sizes = ask(&mut measure(kit)).unwrap_or_default();
    let (all, serving) = sizes.split_once('\n').unwrap_or((&sizes, ""));
    say(all);
    match serving.trim().parse::<u32>() {
        Ok(size) if size <= SERVE_GZIPPED + SERVE_GZIPPED / 100 * GROWTH_MAX => Ok(()),
        Ok(size) => {
            let reason = format!(
                "what every isolate loads has grown to {size} bytes gzipped, from {SERVE_GZIPPED}: find \
                 out why, or raise the figure in tests/xtask/src/worker.rs"
            );
            Err(Failure::new("size of the Worker", reason))
        }
        Err(_) => Err(Failure::new("size of the Worker", "it cannot be measured".to_owned())),
    }
}

/// Runs worker-build for one of the modules, into `target/worker/`.
fn worker_build(kit: &Kit, module: &str) -> Outcome {
    let mut worker_build = kit.wasm_command(&kit.worker_build);
    worker_build
        .args(["--release", "--no-opt", "--out-dir", &format!("target/worker/{module}")])
        .args(["--no-default-features", "--features", module])
        // Of its own, since cargo has one place for what it makes of a package, whatever its features.
        .args(["--target-dir", &format!("target/worker/{module}.target")])
        // A third smaller than for speed; the Worker spends its time in the runtime, not in here.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", SMALL_FUNCTIONS)
        // As src/entry.js does.
        .env("RUN_TO_COMPLETION", "1")
        .env("WASM_BINDGEN_BIN", &kit.wasm_bindgen)
        .env("WASM_OPT_BIN", kit.node_bin("wasm-opt"))
        .env("ESBUILD_BIN", kit.node_bin("esbuild"));
    run(&format!("worker: {module}"), &mut worker_build)
}

/// Makes the two scripts in `build/`: `src/index.js` with what serves, and what it loads when asked.
fn put_together(kit: &Kit) -> Outcome {
    let failure = |error: std::io::Error| Failure::new("worker", error.to_string());
    let build = kit.root.join("build");
    match fs::remove_dir_all(&build) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failure(error)),
        Ok(()) | Err(_) => fs::create_dir_all(&build).map_err(failure)?,
    }
    fs::write(build.join(".gitignore"), "*").map_err(failure)?;
    let mut esbuild = kit.command(kit.node_bin("esbuild"));
    esbuild.args(["src/index.js", "--bundle", "--minify", "--format=esm", "--log-level=warning"]);
    esbuild.args(["--external:cloudflare:*", "--external:*.wasm", "--external:./control.js"]);
    run("esbuild", esbuild.arg("--outfile=build/index.js"))?;
    let control = kit.root.join("target/worker/control/index.js");
    let control = fs::read_to_string(control).map_err(failure)?;
    let control = control.replace("./index_bg.wasm", "./control_bg.wasm");
    fs::write(build.join("control.js"), control).map_err(failure)
}

/// What wasm-opt is told, beside what goes where.
const OPTIONS: [&str; 14] = [
    "-Oz",
    SMALL_FUNCTIONS_OPT,
    TINY_FUNCTIONS_OPT,
    // The stack ends there, so that nothing begins at such an address: a field needs no sum.
    "--low-memory-unused",
    "--strip-debug",
    "--strip-producers",
    "--strip-target-features",
    // What rustc's target has by itself and workerd knows; not whatever binaryen comes to know.
    "--enable-bulk-memory",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Runs wasm-opt over a module, which keeps its names where worker-build left it: nobody but a debugger
/// reads them. What it made before of the same, told the same, is taken again.
fn shrink(kit: &Kit, module: &str, wasm: &str) -> Outcome {
    let [input, known, told, made] =
        ["{}/index_bg.wasm", "{}.known.wasm", "{}.told", "{}.made.wasm"]
            .map(|name| kit.root.join("target/worker").join(name.replace("{}", module)));
    let failure = |error: std::io::Error| Failure::new("wasm-opt", error.to_string());
    let (read, options) = (|path| fs::read(path).ok(), OPTIONS.join("\n"));
    let is_same = read(&input) == read(&known) && read(&told) == Some(options.clone().into_bytes());
    if !made.exists() || !is_same {
        let mut wasm_opt = kit.command(kit.node_bin("wasm-opt"));
        wasm_opt.arg(&input).arg("-o").arg(&made);
        run(&format!("wasm-opt: {module}"), wasm_opt.args(OPTIONS))?;
        fs::copy(&input, known).map_err(failure)?;
        fs::write(told, options).map_err(failure)?;
    }
    fs::copy(made, kit.root.join(wasm)).map(drop).map_err(failure)
}

/// Node.js has gzip at hand, the measure in which Cloudflare states its limit. In a line of its own: what
/// every isolate loads, in bytes.
fn measure(kit: &Kit) -> Command {
    const SCRIPT: &str = "
        const read = (name) => fs.readFileSync(`build/${name}`);
        const [serve, control] = [['index.js', 'index_bg.wasm'], ['control.js', 'control_bg.wasm']]
            .map((names) => names.map(read));
        const sum = (parts) => parts.reduce((sum, part) => sum + part.length, 0);
        const zipped = (parts) => sum(parts.map((part) => zlib.gzipSync(part, {level: 9})));
        const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;
        const told = (parts) => `${kib(sum(parts))}, ${kib(zipped(parts))} gzipped`;
        `what every isolate loads is ${told(serve)}; with the Admin API ${told([...serve, ...control])}\n` +
            zipped(serve)";
    let mut node = kit.command(kit.node_bin("node"));
    node.arg("--print").arg(SCRIPT);
    node
}
