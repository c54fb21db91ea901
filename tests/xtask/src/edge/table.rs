//! What is printed: medians, and ratios that are made inside of a round.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::{Amount, Figures, Lane};
use crate::cost::quartiles;
use crate::setup::Kit;
use crate::step::{Outcome, ask};

/// The table of the load.
pub(super) fn load(lanes: &[Lane]) -> String {
    let mut text = String::from(
        "| in workerd, small JSON | CPU per request, µs | ratio (quartiles) | requests/s | ratio | \
         p50, µs | ratio | p99, µs | ratio |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let least = lanes.first().map(|lane| lane.rounds.as_slice()).unwrap_or_default();
    for Lane { name, rounds, .. } in lanes {
        let of = |figure: fn(&Figures) -> f64| {
            let (own, least): (Vec<f64>, Vec<f64>) =
                (rounds.iter().map(figure).collect(), least.iter().map(figure).collect());
            let mut ratios: Vec<f64> =
                own.iter().zip(&least).map(|(own, least)| own / least).collect();
            (median(own), quartiles(&mut ratios))
        };
        let (cpu, [low, ratio, high]) = of(|it| it.cpu);
        // A string takes whatever is written to it.
        let _ = write!(text, "| {name} | {cpu:.0} | {ratio:.2} ({low:.2}-{high:.2}) |");
        for (median, [_, ratio, _]) in [of(|it| it.rate), of(|it| it.half), of(|it| it.last)] {
            let _ = write!(text, " {median:.0} | {ratio:.2} |");
        }
        text.push('\n');
    }
    text
}

/// How large the Worker is that is uploaded.
pub(super) fn sizes(kit: &Kit) -> Outcome<String> {
    let mut text = String::from("\n| what is uploaded, KiB | raw | gzipped |\n|---|---|---|\n");
    let files = [
        ("minimal JavaScript Worker", "['tests/bench/edge/minimal.mjs']"),
        ("Splitway", "['build/index.js', 'build/index_bg.wasm']"),
    ];
    for (name, files) in files {
        let script = format!(
            "const files = {files}.map((file) => fs.readFileSync(file));
             const kib = (parts) => (parts.reduce((sum, part) => sum + part.length, 0) / 1024).toFixed(1);
             `${{kib(files)}} | ${{kib(files.map((file) => zlib.gzipSync(file)))}}`"
        );
        let mut node = kit.command(kit.node_bin("node"));
        let sizes = ask(node.arg("--print").arg(script)).unwrap_or_else(|| "? | ?".to_owned());
        let _ = writeln!(text, "| {name} | {sizes} |");
    }
    Ok(text)
}

/// On what machine, with which programs, and how much was measured.
pub(super) fn machine(kit: &Kit, amount: Amount, without: Option<&str>) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let version = |program: &str, argument: &str| {
        ask(kit.command(kit.node_bin(program)).arg(argument)).unwrap_or_default()
    };
    let kernel = ask(Command::new("uname").arg("-sr")).unwrap_or_default();
    let commit =
        ask(kit.command("git").args(["describe", "--always", "--dirty"])).unwrap_or_default();
    let workerd = version("workerd", "--version");
    let mut text = format!(
        "\n{cores} cores of {model}, {kernel}; {workerd}; Splitway {commit}; {} rounds of {} s, {} connections; \
         medians, ratios inside of rounds\n",
        amount.rounds,
        amount.seconds,
        super::CONNECTIONS
    );
    if let Some(why) = without {
        let _ = writeln!(text, "without @portkey-ai/gateway: {why}");
    }
    text
}

/// The median.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let [_, median, _] = quartiles(&mut values.into_iter().collect::<Vec<f64>>());
    median
}

/// The median of what comes of the two figures of each round.
pub(super) fn paired(own: &[f64], least: &[f64], of: impl Fn(f64, f64) -> f64) -> f64 {
    median(own.iter().zip(least).map(|(own, least)| of(*own, *least)))
}
