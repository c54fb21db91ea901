//! The load of HTTP/1.1: wrk, with a script that says what is sent and tells what came.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use crate::case::Requests;
use crate::figures::Turn;
use crate::lane::Running;
use crate::setup::{Target, World};

/// What is asked in the guide; other bodies are of one letter.
pub(crate) const BODY: &str =
    r#"{"model":"m","messages":[{"role":"user","content":"hello, you"}]}"#;

/// The end of the script: a line with requests, errors, time in µs, and quantiles of latency in µs.
const DONE: &str = r#"
function done(summary, latency)
  local errors = summary.errors
  local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("done %d %d %d %d %d\n", summary.requests, bad, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
"#;

/// A round of requests that differ: many routes, keys or users in turn, prepared before the load begins.
const VARIED: &str = r"
local prepared, at = {}, 0
function init()
  for turn = 1, 1000 do
    local number = (turn * 7919) % COUNT
    local path = PATH
    wrk.headers[FIELD] = VALUE
    prepared[turn] = wrk.format(nil, path)
  end
end
function request()
  at = at % 1000 + 1
  return prepared[at]
end
";

/// Has wrk ask for so many seconds, and returns how it was answered; the CPU time is left to whoever looks.
///
/// The second figure is the number of requests.
pub(crate) fn load(
    requests: &Requests,
    running: &Running<'_>,
    world: &World,
    seconds: u32,
) -> io::Result<(Turn, f64)> {
    let script = script(requests, running, world)?;
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", &format!("-c{}", requests.connections), &format!("-d{seconds}s")]);
    wrk.arg("-s").arg(script).arg(running.url(&running.path(requests.target)));
    let output = wrk.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = |what: &str| {
        let told = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("{}: {what}:\n{text}{told}", running.lane.name))
    };
    let told = text.lines().find_map(|line| line.strip_prefix("done "));
    let told = told.ok_or_else(|| failed("wrk tells nothing"))?;
    let told: Vec<f64> = told.split(' ').filter_map(|field| field.parse().ok()).collect();
    match told.as_slice() {
        [count, 0.0, duration, p50, p99] if *count > 0.0 => {
            let rate = count / duration * 1e6;
            Ok((Turn { rate, p50: *p50, p99: *p99, ..Turn::default() }, *count))
        }
        _ => Err(failed("not everybody was answered well")),
    }
}

/// Writes the script.
fn script(requests: &Requests, running: &Running<'_>, world: &World) -> io::Result<PathBuf> {
    let mut text = String::from("wrk.method = \"POST\"\n");
    // A string takes whatever is written to it.
    let _ = match requests.body {
        None => writeln!(text, "wrk.body = '{BODY}'"),
        Some(bytes) => writeln!(text, "wrk.body = string.rep(\"x\", {bytes})"),
    };
    text.push_str("wrk.headers[\"Content-Type\"] = \"application/json\"\n");
    let setup = &running.lane.setup;
    if setup.routes.max(setup.consumers) > 0 || setup.sticky {
        let count = setup.routes.max(setup.consumers).max(if setup.sticky { 1000 } else { 1 });
        let path = match setup.routes {
            0 => format!("\"{}\"", Target::Chat.path()),
            _ => "\"/tenant-\" .. number .. \"/chat/completions\"".to_owned(),
        };
        let (field, value) = match (setup.consumers, setup.sticky) {
            (0, true) => ("\"x-user\"", "\"user-\" .. number"),
            (0, false) => ("\"x-none\"", "nil"),
            _ => ("\"apikey\"", "\"the-key-of-consumer-\" .. number"),
        };
        let varied = VARIED.replace("COUNT", &count.to_string()).replace("PATH", &path);
        text.push_str(&varied.replace("FIELD", field).replace("VALUE", value));
    }
    text.push_str(DONE);
    let file = world.folder.join(format!("load-{}.lua", running.at.port()));
    fs::write(&file, text)?;
    Ok(file)
}
