//! `splitway simulate`: which branch requests would get, without a server and without a request.

mod plot;
mod tally;
mod told;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use splitway_core::snapshot::Snapshot;
use splitway_core::survey::{RouteView, RuleView, routes};

use super::affinity::KeyOptions;
use super::outcome::{Failure, Verdict, compiled, end, one_input};
use super::progress::Progress;
use super::pull::replace;
use super::report;
use tally::Tally;

/// What the output means.
pub(crate) const AFTER_HELP: &str = "\
Requests without a key take turns, which is exact: the deviation in every window of one period is 0.
Where a key decides, the shares are those that the keys happen to have.

--format json prints an object that later versions only add to:
  revision    of the document
  splits      a list of
    route     the id of the route
    rule      the number of the rule in its plugin, from 0
    by        \"turns\", or \"keys\" where a key decides
    requests  how many there were, or how many keys
    period    in so many requests turns are exact
    window_deviation  by how many requests a branch was off at worst in a window of one period;
              null where there were fewer requests, or the period is longer than 16777216
    branches  a list of
      name, weight
      asked_percent, got_percent  the share by weight, and what came of it
      count   how many requests it got
      longest_gap, ideal_gap      the most requests in a row that went elsewhere, and how many it
              would be if all were equally far apart; null where the weight is 0

Exit codes:
  0  it is done
  2  an error, or the document has faults";

/// What to simulate, and how to tell it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The document, YAML or JSON; `-` is standard input
    #[arg(long, env = "SPLITWAY_CONFIG", value_name = "FILE")]
    config: PathBuf,

    #[command(flatten)]
    keys: KeyOptions,

    /// Only the splits of this route
    #[arg(long, value_name = "ID")]
    route: Option<String>,

    /// How to print what came of it
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,

    /// Draw the shares as they became, into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    Table,
    Json,
}

/// A split and what came of its requests.
struct Outcome<'s> {
    route: &'s str,
    number: usize,
    rule: RuleView<'s>,
    is_sticky: bool,
    branches: Vec<(&'s str, u32)>,
    period: u64,
    tally: Tally,
}

/// Prints what requests would get. Exits with 2 where there is nothing to say that of.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(simulate(arguments))
}

fn simulate(arguments: &Arguments) -> Result<Verdict, Failure> {
    one_input([Some(arguments.config.as_path()), arguments.keys.file()])?;
    let snapshot = compiled(&arguments.config)?.snapshot;
    let mut outcomes = outcomes(&snapshot, arguments.route.as_deref())?;
    if arguments.keys.file().is_some() && !outcomes.iter().any(|it| it.is_sticky) {
        // Whoever closed standard error does not want to know.
        let _ = report::warning(&mut anstream::stderr(), "no key decides here: --keys is not used");
    }
    play(&mut outcomes, &arguments.keys)?;
    let mut out = anstream::stdout();
    match arguments.format {
        Form::Table => told::table(&mut out, &outcomes)?,
        Form::Json => told::json(&mut out, snapshot.revision().as_str(), &outcomes)?,
    }
    out.flush()?;
    if let Some(path) = &arguments.plot {
        let written = replace(path, &plot::draw(&outcomes));
        written.map_err(|source| Failure::Unwritable { path: path.clone(), source })?;
    }
    Ok(Verdict::Done)
}

/// The splits to simulate, before the first request.
fn outcomes<'s>(snapshot: &'s Snapshot, only: Option<&str>) -> Result<Vec<Outcome<'s>>, Failure> {
    let wanted = |route: &RouteView<'_>| only.is_none_or(|id| route.id() == id);
    let mut chosen = routes(snapshot).filter(wanted).peekable();
    if let (Some(id), None) = (only, chosen.peek()) {
        return Err(Failure::NoRoute(id.to_owned()));
    }
    let of_route = |route: RouteView<'s>| {
        route.splits().map(move |(number, rule)| Outcome::new(route.id(), number, rule))
    };
    Ok(chosen.flat_map(of_route).collect())
}

/// Has all requests made: those of each split that take turns, then every key at once for all others.
fn play(outcomes: &mut [Outcome<'_>], keys: &KeyOptions) -> Result<(), Failure> {
    let (mut sticky, mut plain): (Vec<_>, Vec<_>) =
        outcomes.iter_mut().partition(|it| it.is_sticky);
    let turns = keys.requests().saturating_mul(plain.len() as u64);
    let keyed = if sticky.is_empty() { Some(0) } else { keys.count() };
    let mut progress = Progress::new(keyed.map(|keyed| turns.saturating_add(keyed)));
    for outcome in &mut plain {
        let walk = outcome.rule.walk();
        for _ in 0..keys.requests() {
            outcome.tally.pick(walk.next());
            progress.step();
        }
    }
    if !sticky.is_empty() {
        keys.each(|key| {
            sticky.iter_mut().for_each(|outcome| outcome.key(key));
            progress.step();
        })?;
    }
    progress.end();
    Ok(())
}

impl<'s> Outcome<'s> {
    fn new(route: &'s str, number: usize, rule: RuleView<'s>) -> Self {
        let branches: Vec<(&str, u32)> =
            rule.branches().map(|(name, weight)| (name, weight.0)).collect();
        let weights: Vec<u32> = branches.iter().map(|(_, weight)| *weight).collect();
        let period = rule.walk().period();
        let tally = Tally::new(&weights, period);
        Self { route, number, rule, is_sticky: rule.is_sticky(), branches, period, tally }
    }

    /// The request of somebody with this key.
    fn key(&mut self, key: &str) {
        if let Some(index) = self.rule.owner(key.as_bytes()) {
            self.tally.pick(index);
        }
    }

    /// What decides here.
    fn by(&self) -> &'static str {
        if self.is_sticky { "keys" } else { "turns" }
    }

    /// The share of a weight, in hundredths.
    fn asked_percent(&self, weight: u32) -> f64 {
        let total: u64 = self.branches.iter().map(|(_, weight)| u64::from(*weight)).sum();
        100.0 * f64::from(weight) / total as f64
    }

    /// The share that a branch got, in hundredths.
    fn got_percent(&self, index: usize) -> f64 {
        match self.tally.picks() {
            0 => 0.0,
            picks => 100.0 * self.tally.count(index) as f64 / picks as f64,
        }
    }

    /// How many requests would lie between two of a branch if all were equally far apart.
    fn ideal_gap(&self, weight: u32) -> Option<f64> {
        (weight > 0).then(|| 100.0 / self.asked_percent(weight) - 1.0)
    }
}
