//! The load of HTTP/2: h2load of nghttp2, over TLS, with several requests at once on a connection.

use std::fs;
use std::io;
use std::process::Command;

use crate::case::Requests;
use crate::figures::{Turn, quantile};
use crate::lane::Running;
use crate::setup::World;
use crate::wrk::BODY;

/// How many requests are under way on a connection.
pub(crate) const STREAMS: usize = 4;

/// How long h2load goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// So many seconds.
    Seconds(u32),
    /// So many requests.
    Requests(usize),
}

/// Has h2load ask, as `wrk::load` does.
pub(crate) fn load(
    requests: &Requests,
    running: &Running<'_>,
    world: &World,
    length: Length,
) -> io::Result<(Turn, f64)> {
    let file = |ending| world.folder.join(format!("h2load-{}.{ending}", running.at.port()));
    let (body, log) = (file("json"), file("log"));
    fs::write(&body, BODY)?;
    drop(fs::remove_file(&log));
    let mut h2load = Command::new("h2load");
    match length {
        Length::Seconds(seconds) => h2load.args(["-D", &seconds.to_string()]),
        Length::Requests(count) => h2load.args(["-n", &count.to_string()]),
    };
    let connections = requests.connections / STREAMS;
    h2load.args(["-t1", "-c", &connections.to_string(), "-m", &STREAMS.to_string()]);
    h2load.args(["-H", "content-type: application/json"]).arg("-d").arg(&body);
    h2load.arg(format!("--log-file={}", log.display()));
    let output = h2load.arg(running.url(&running.path(requests.target))).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    read(&text, &fs::read_to_string(&log)?).ok_or_else(|| {
        let name = &running.lane.name;
        io::Error::other(format!("{name}: not everybody was answered well:\n{text}"))
    })
}

/// Reads what h2load prints, and its log: begin, status and time of each request, in µs.
fn read(text: &str, log: &str) -> Option<(Turn, f64)> {
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let protocol = line("Application protocol: ")?;
    let codes = line("status codes: ")?;
    let well: f64 = codes.split_once(" 2xx, 0 3xx, 0 4xx, 0 5xx")?.0.parse().ok()?;
    let rate = line("finished in ")?.split(", ").nth(1)?.split_once(" req/s")?.0.parse().ok()?;
    let times = log.lines().filter_map(|line| line.split('\t').nth(2)?.parse::<f64>().ok());
    let mut times: Vec<f64> = times.collect();
    if protocol != "h2" || well == 0.0 {
        return None;
    }
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    Some((Turn { rate, p50, p99, ..Turn::default() }, well))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_only_if_all_are_good_and_come_over_http2() {
        let text = |protocol: &str, bad: usize| {
            format!(
                "Application protocol: {protocol}\nfinished in 1.00s, 250.50 req/s, 40KB/s\n\
                 status codes: 3 2xx, 0 3xx, 0 4xx, {bad} 5xx\n"
            )
        };
        let log =
            "1700000000000001\t200\t10\n1700000000000002\t200\t30\n1700000000000003\t200\t20\n";
        let (turn, count) = read(&text("h2", 0), log).unwrap();
        assert_eq!((turn.rate, turn.p50, count), (250.5, 20.0, 3.0));
        assert!(read(&text("h2", 1), log).is_none());
        assert!(read(&text("http/1.1", 0), log).is_none());
    }
}
