//! What a table was made with: the machine, the programs, the day.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A line that says it all.
pub(crate) fn line(splitway: &Path, rounds: usize, seconds: u32) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processors = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown CPU", |model| model.trim_start_matches(['\t', ' ', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let splitway = said(Command::new(splitway).arg("--version"));
    let versions = [
        splitway,
        said(Command::new("nginx").arg("-v")).replace("nginx version: ", ""),
        said(Command::new("haproxy").arg("-v")).replace(" version", ""),
        said(Command::new("wrk").arg("-v")),
        said(Command::new("h2load").arg("--version")),
    ];
    // Of each as far as the version: `HAProxy 2.6.12`.
    let short = |text: &String| text.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let versions = versions.iter().map(short).collect::<Vec<_>>().join(", ");
    let date = said(Command::new("date").args(["-u", "+%F"]));
    format!(
        "{date}, {} cores, {model}, Linux {}; {versions}; {rounds} rounds of {seconds} s",
        processors.max(cores),
        kernel.trim()
    )
}

/// The first line that a program says, wherever it does.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return String::new() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}
