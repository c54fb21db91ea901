//! The real binary under load while everything about it changes: its document, its origins, its
//! certificate, and the process itself.
//!
//! Every request carries a number, by which its answer, its origins and what befell them are known. Each
//! has one answer, which is its own: 200, of the origin that had it, by a revision that served meanwhile.
//! Where at most one of the two origins of each branch is dead, only this may differ: a POST without
//! `Idempotency-Key` that was under way when an origin was killed may be answered 502, is never executed
//! twice, an answer of which the client had a part may end, as broken, and a stream that was cut off in two
//! branches before its first event may be answered 502. A change of the document, of the certificate or of
//! the process is noticed by nobody. At rest the server then holds what it held after a first round of all
//! this.
//!
//! `cargo xtask soak` goes on for longer; `SOAK_SEED` makes other documents and moments.

#![cfg(target_os = "linux")]
#![allow(clippy::indexing_slicing, reason = "this program is tests: a panic is how they fail")]

mod client;
mod gauge;
mod kind;
mod ledger;
mod load;
mod origin;
mod pulse;
mod secure;
mod table;
mod world;

/// The binary, started as its other tests start it.
#[path = "../splitway/process.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod process;

use std::sync::Arc;
use std::time::{Duration, Instant};

use splitway_tests::chance::{Chance, environment};

use gauge::Level;
use ledger::Ledger;
use load::{Tally, under_load};
use process::{Serving, splitway};
use pulse::Pulse;
use secure::Pairs;
use table::Row;
use world::{Deeds, World, linger, repeat};

/// How many clients ask at once.
const CLIENTS: usize = 32;

/// How long all of it takes, in seconds, without what it takes to come to rest.
const SECONDS: u64 = 6;

/// What all parts share.
struct Soak {
    ledger: Arc<Ledger>,
    chance: Chance,
    world: World,
    time: Duration,
    rows: Vec<Row>,
}

#[test]
fn nothing_is_lost_while_everything_changes() {
    let seed = environment("SOAK_SEED", 1);
    let time = Duration::from_secs(environment("SOAK_SECONDS", SECONDS));
    let (ledger, mut chance) = (Arc::new(Ledger::default()), Chance::new(seed));
    let world = World::new(&ledger, &mut chance);
    let mut soak = Soak { ledger, chance, world, time, rows: Vec::new() };
    soak.changes_and_kills();
    soak.takeovers();
    soak.certificates();
    table::print(seed, &mut soak.rows);
    soak.ledger.close(seed);
}

impl Soak {
    /// So many hundredths of the time.
    fn part(&self, percent: u32) -> Duration {
        self.time * percent / 100
    }

    /// Goes on under load, and writes down what came of it.
    fn row(
        &mut self,
        name: &'static str,
        pulse: &Pulse,
        disturb: impl FnOnce(&mut World, &mut Chance, &mut Deeds),
    ) {
        let (began, before) = (Instant::now(), self.ledger.wrongs_count());
        let mut deeds = Deeds::default();
        let world = &mut self.world;
        let tally: Tally = under_load(pulse, CLIENTS, &mut self.chance, |chance| {
            disturb(world, chance, &mut deeds)
        });
        let wrongs = self.ledger.wrongs_count() - before;
        let time = began.elapsed();
        self.rows.push(Row { name, time, tally, deeds, levels: None, wrongs });
    }

    fn changes_and_kills(&mut self) {
        let mut serving = Serving::file(&self.world.path(), &["--workers", "2"]);
        // Whatever is loaded behind this is a change.
        if !serving.told().contains("configuration_loaded") {
            serving.line(|line| line.contains("configuration_loaded"));
        }
        let pulse = Pulse::new(serving.traffic, &self.ledger);
        let (warming, changing, killing) = (self.part(20), self.part(15), self.part(35));
        self.row("warm-up", &pulse, |world, chance, deeds| {
            repeat(warming, || world.kill_some(&mut serving, &pulse, chance, deeds));
        });
        let before = Level::at_rest(serving.id(), None);
        self.row("changes", &pulse, |world, chance, deeds| {
            repeat(changing, || {
                world.change(&mut serving, &pulse, chance);
                deeds.changes += 1;
            });
        });
        self.row("kills", &pulse, |world, chance, deeds| {
            repeat(killing, || world.kill_some(&mut serving, &pulse, chance, deeds));
        });
        let after = Level::at_rest(serving.id(), Some(before));
        if let Some(row) = self.rows.last_mut() {
            row.levels = Some((before, after));
        }
        if let Some(flaw) = after.flaw_since(&before) {
            self.ledger.wrong(flaw);
        }
    }

    /// Has one process take over from another, again and again.
    fn takeovers(&mut self) {
        let (path, time) = (self.world.path(), self.part(15));
        let start = |listen: &str| {
            let options = ["--config", &path, "--reuse-port", "--workers", "2", "--listen", listen];
            Serving::start_at(splitway(), &options)
        };
        let mut current = start("127.0.0.1:0");
        let address = current.traffic.to_string();
        let (pulse, ledger) = (Pulse::new(current.traffic, &self.ledger), Arc::clone(&self.ledger));
        self.row("takeovers", &pulse, |_, chance, deeds| {
            repeat(time, || {
                linger(chance, 200);
                let next = start(&address);
                current.signal("TERM");
                let status = std::mem::replace(&mut current, next).end();
                if !status.success() {
                    ledger.wrong(format!("a process whose place was taken ended with {status}"));
                }
                deeds.successions += 1;
            });
        });
    }

    /// Has certificates replaced, which `SIGHUP` tells the server.
    fn certificates(&mut self) {
        let (mut pairs, time) = (Pairs::new(&self.world.files), self.part(15));
        let options = [&["--workers", "2"][..], &pairs.options()].concat();
        let mut serving = Serving::file(&self.world.path(), &options);
        let mut pulse = Pulse::new(serving.traffic, &self.ledger);
        pulse.tls = Some(pairs.trusting());
        self.row("SIGHUP, TLS", &pulse, |world, chance, deeds| {
            repeat(time, || {
                linger(chance, 100);
                pairs.replace(&world.files, &mut serving);
                deeds.successions += 1;
            });
        });
    }
}
