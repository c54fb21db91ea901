//! What Splitway costs at the edge: in workerd, beside the least that does the same by hand, and beside a
//! gateway that does more.
//!
//! Each candidate is a workerd of its own on one core, loaded by `wrk` from the other one, where the origin is,
//! too. No Node.js is between them. All take turns in rounds, and a ratio is made inside of a round: what else
//! the machine does then moves both of its figures.

mod cold;
mod gateway;
mod server;
mod stream;
mod table;

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;

use self::server::{Kind, Server};
use crate::cost::{order, pin, road};
use crate::setup::Kit;
use crate::step::{Failure, Outcome, ask, say};
use crate::worker;

const STEP: &str = "bench-edge";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    rounds: usize,
    /// How long each candidate is loaded in a round, in s.
    seconds: u32,
    /// Starts that are timed, of each candidate.
    starts: usize,
    /// The bytes of a long body.
    long: u64,
    is_smoke: bool,
    /// Whether what is in build/ is measured as it is.
    is_built: bool,
}

impl Amount {
    /// What the arguments of the command say, if they make sense.
    pub(crate) fn parse(arguments: &[String]) -> Option<Self> {
        let usual = Self {
            rounds: 15,
            seconds: 2,
            starts: 15,
            long: 100_000_000,
            is_smoke: false,
            is_built: false,
        };
        let mut amount = usual;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--smoke" => {
                    let (rounds, seconds, starts, long, is_smoke) = (1, 1, 1, 1_000_000, true);
                    amount = Self { rounds, seconds, starts, long, is_smoke, ..amount };
                }
                "--rounds" => {
                    amount.rounds = arguments.next()?.parse().ok().filter(|it| *it > 0)?
                }
                "--seconds" => {
                    amount.seconds = arguments.next()?.parse().ok().filter(|it| *it > 0)?
                }
                "--built" => amount.is_built = true,
                _ => return None,
            }
        }
        Some(amount)
    }
}

/// How many connections clients keep.
const CONNECTIONS: u32 = 16;

/// What every client sends, much as it comes from Cloudflare's front: the script of `wrk`, which ends by saying
/// how many requests were answered and how many were not answered well, in how many µs, and the percentiles.
const LOAD: &str = r#"
wrk.method = "POST"
wrk.body = '{"model":"gpt-4","messages":[{"role":"user","content":"ping"}]}'
wrk.headers["Host"] = "api.example.com"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json"
wrk.headers["Accept-Encoding"] = "gzip, br"
wrk.headers["User-Agent"] = "OpenAI/Python 1.55.0"
wrk.headers["Authorization"] = "Bearer the-key-of-a-client-of-some-length-as-they-are"
wrk.headers["CF-Connecting-IP"] = "192.0.2.7"
wrk.headers["CF-IPCountry"] = "DE"
wrk.headers["CF-Ray"] = "8e5f1c2d3b4a5967-FRA"
wrk.headers["CF-Visitor"] = '{"scheme":"https"}'
wrk.headers["X-Forwarded-Proto"] = "https"
wrk.headers["X-Forwarded-For"] = "192.0.2.7"
@gateway@
function done(summary, latency)
  local errors = summary.errors
  local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local half, last = latency:percentile(50), latency:percentile(99)
  io.write(string.format("done %d %d %d %d %d\n", summary.requests, bad, summary.duration, half, last))
end
"#;

/// The figures of a candidate in one round.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    /// CPU time of its process, in µs for each request.
    cpu: f64,
    /// Requests per second.
    rate: f64,
    /// Half of all requests, and all but one in a hundred, were answered in so many µs.
    half: f64,
    last: f64,
}

/// A candidate that is running, and what it did.
struct Lane {
    name: String,
    server: Server,
    load: PathBuf,
    rounds: Vec<Figures>,
}

/// Measures, and prints the tables.
pub(crate) fn print(kit: &Kit, amount: Amount) -> Outcome {
    if Command::new("wrk").arg("--version").output().is_err() {
        let reason = "`wrk` is not there, which makes the load: install it (`apt-get install wrk`)";
        return Err(Failure::new(STEP, reason));
    }
    if !amount.is_built {
        worker::build(kit)?;
    }
    let folder = kit.root.join("target/bench-edge");
    fs::create_dir_all(&folder).map_err(failed)?;
    let gateway = gateway::ready(kit, &folder);
    // The origin, too, and whatever is started from here.
    pin(0, process::id());
    let origin = road::origin().map_err(failed)?;

    let mut text = String::new();
    let mut lanes = lanes(kit, &folder, origin, gateway.as_ref())?;
    say(&format!("{} candidates, {} rounds of {} s", lanes.len(), amount.rounds, amount.seconds));
    // The first of all makes connections and warms up, and is not counted.
    for round in 0..=amount.rounds {
        for at in order(lanes.len(), round) {
            let Some(lane) = lanes.get_mut(at) else { continue };
            let figures = lane.measure(amount.seconds)?;
            lane.rounds.extend((round > 0).then_some(figures));
        }
    }
    text.push_str(&table::load(&lanes));
    drop(lanes);
    say(&format!("{} starts each", amount.starts));
    text.push_str(&cold::table(kit, &folder, origin, amount.starts)?);
    say(&format!("bodies of {} MB", amount.long / 1_000_000));
    text.push_str(&stream::table(kit, &folder, origin, amount)?);
    text.push_str(&table::sizes(kit)?);
    text.push_str(&table::machine(kit, amount, gateway.as_ref().err().map(String::as_str)));
    io::stdout().write_all(text.as_bytes()).map_err(failed)
}

/// All candidates, started. The first is the one that all others are compared with.
fn lanes(
    kit: &Kit,
    folder: &Path,
    origin: SocketAddr,
    gateway: Result<&gateway::Gateway, &String>,
) -> Outcome<Vec<Lane>> {
    let load = folder.join("load.lua");
    fs::write(&load, LOAD.replace("@gateway@", "")).map_err(failed)?;
    let mut lanes = Vec::new();
    let own = [
        ("minimal JavaScript Worker", Kind::Minimal),
        ("the same again", Kind::Minimal),
        ("the same with the headers that Splitway sets", Kind::Proving),
        ("Splitway", Kind::Splitway { routes: 1 }),
        ("Splitway, 1,000 routes", Kind::Splitway { routes: 1_000 }),
    ];
    for (name, kind) in own {
        let server = Server::start(kit, folder, &kind, origin)?;
        lanes.push(Lane { name: name.to_owned(), server, load: load.clone(), rounds: Vec::new() });
    }
    if let Ok(gateway) = gateway {
        let header = format!("wrk.headers[\"x-portkey-config\"] = '{}'", gateway::config(origin));
        let load = folder.join("gateway.lua");
        fs::write(&load, LOAD.replace("@gateway@", &header)).map_err(failed)?;
        let (name, server) = gateway.start(kit, folder, origin)?;
        lanes.push(Lane { name, server, load, rounds: Vec::new() });
    }
    Ok(lanes)
}

impl Lane {
    /// What it does while clients ask for so long.
    fn measure(&self, seconds: u32) -> Outcome<Figures> {
        let before = self.server.cpu()?;
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", &format!("-d{seconds}s"), &format!("-c{CONNECTIONS}"), "-s"]);
        let text = ask(wrk.arg(&self.load).arg(self.server.url())).unwrap_or_default();
        let spent = self.server.cpu()?.saturating_sub(before);
        let told = text.lines().find_map(|line| line.strip_prefix("done "));
        let numbers = |told: &str| told.split(' ').map_while(|it| it.parse().ok()).collect();
        let told: Option<Vec<f64>> = told.map(numbers);
        match told.as_deref() {
            Some([requests, 0.0, duration, half, last]) if *requests > 0.0 => {
                let rate = requests / (duration / 1e6);
                let cpu = micros(spent) / requests;
                Ok(Figures { cpu, rate, half: *half, last: *last })
            }
            Some(_) | None => {
                let reason = format!("{}: not everybody was answered well:\n{text}", self.name);
                Err(Failure::new(STEP, reason))
            }
        }
    }
}

/// A time in µs.
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn failed(error: io::Error) -> Failure {
    Failure::new(STEP, error.to_string())
}
