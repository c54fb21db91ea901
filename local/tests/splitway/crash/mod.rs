//! The loss of power at any moment: what was acknowledged is there, what was not is there as a whole
//! or not at all, and nothing that was never written together is ever served together.
//!
//! `CRASH_SEED` makes other moments, `CRASH_ROUNDS` more of them. The kernel outlives the server here,
//! so what is proved is the order of things; that commits are synced is a setting with a test beside
//! it (`local/src/database.rs`).

mod client;
mod load;
mod model;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use splitway_tests::at_end::AtEnd;
use splitway_tests::chance::{Chance, environment};
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply, Script};

use crate::api::{KEY, serving};
use crate::process::{Files, PATIENCE, Serving, argument, splitway};
use load::{Round, TOGETHER};
use model::{Deeds, Model, state_of};

/// Each has a route of its own.
const WRITERS: [&str; 3] = ["w0", "w1", "w2"];

/// How many past documents are compared after each start.
const SAMPLES: usize = 3;

#[test]
fn what_was_acknowledged_survives_the_loss_of_power_at_any_moment() {
    let seed = environment("CRASH_SEED", 1);
    let files = Files::new();
    let dir = files.path("data");
    let echo = Script::new(|request| Act::Answer(Reply::ok(request.target.clone())));
    let upstream = Origin::on_loopback(echo);
    let mut chance = Chance::new(seed);
    let (mut model, seen) = (Model::new(), Mutex::default());
    for round in 0..environment("CRASH_ROUNDS", 100) {
        if chance.one_in(4) {
            kill_at_the_start(&dir, &mut chance);
        }
        let serving = start(&dir);
        let deeds = one_round(&serving, upstream.authority(), &model, &seen, &mut chance);
        serving.kill();
        let serving = start(&dir);
        eprintln!("seed {seed}, round {round}, from revision {}", model.revision());
        check(&serving, &mut model, deeds, &seen, &mut chance);
    }
    assert!(model.revision() > 0);
}

fn start(dir: &Path) -> Serving {
    serving(dir)
}

/// Ends one that is on its way up.
fn kill_at_the_start(dir: &Path, chance: &mut Chance) {
    let mut command = splitway();
    command.env("SPLITWAY_ADMIN_KEY", KEY).stderr(Stdio::null());
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let mut child = command.args(["--data-dir", &argument(dir)]).spawn().expect("splitway runs");
    linger(chance, 40_000);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

/// Has everybody write and ask, and ends the server after some writes and a moment more.
fn one_round(
    serving: &Serving,
    authority: &str,
    model: &Model,
    seen: &Mutex<BTreeMap<u64, String>>,
    chance: &mut Chance,
) -> Vec<Deeds> {
    let (admin, traffic) = (serving.admin.expect("the Admin API is on"), serving.traffic);
    let round = &Round { admin, traffic, authority, acknowledged: AtomicU64::new(0), seen };
    let state = model.last();
    std::thread::scope(|scope| {
        let end = AtEnd(|| serving.signal("KILL"));
        let mut writing = Vec::new();
        for id in WRITERS {
            let (desc, chance) = (state.get(id).cloned(), Chance::new(chance.draw()));
            writing.push(scope.spawn(move || round.write_one(id, desc, chance)));
        }
        let own = Chance::new(chance.draw());
        writing.push(scope.spawn(move || round.write_all(own)));
        for _ in 0..2 {
            let own = Chance::new(chance.draw());
            scope.spawn(move || round.ask(state, own));
        }
        let enough = u64::try_from(chance.below(40)).expect("few");
        let deadline = Instant::now() + PATIENCE;
        while round.acknowledged.load(Ordering::SeqCst) < enough {
            assert!(Instant::now() < deadline, "nothing is acknowledged");
            std::thread::yield_now();
        }
        linger(chance, 3_000);
        drop(end);
        writing.into_iter().map(|writer| writer.join().expect("no writer failed")).collect()
    })
}

/// Lets up to so many microseconds pass, so that the end comes at any point of what goes on.
fn linger(chance: &mut Chance, micros_max: usize) {
    let micros = u64::try_from(chance.below(micros_max)).expect("few");
    let until = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < until {
        std::thread::yield_now();
    }
}

/// Compares what the server says after a start with what was acknowledged before its end.
fn check(
    serving: &Serving,
    model: &mut Model,
    deeds: Vec<Deeds>,
    seen: &Mutex<BTreeMap<u64, String>>,
    chance: &mut Chance,
) {
    let before = model.revision();
    let (document, revision) = serving.config();
    model.follow(&history(serving, before, revision), deeds);
    assert_eq!(model.revision(), revision);
    assert_eq!(state_of(&document), *model.last());
    for (revision, desc) in std::mem::take(&mut *seen.lock().expect("nobody panicked")) {
        let state = &model.states[usize::try_from(revision).expect("few")];
        assert_eq!(TOGETHER.map(|id| state.get(id)), [Some(&desc); 4], "revision {revision}");
    }
    for _ in 0..SAMPLES.min(model.states.len() - 1) {
        let past = 1 + chance.below(model.states.len() - 1);
        let answer = serving.ask("GET", &format!("/splitway/v1/revisions/{past}"));
        if answer.status == 410 {
            assert!(model.states.len() - past > 1000, "forgotten too early: {past}");
            continue;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(state_of(&answer.json()["document"]), model.states[past], "revision {past}");
    }
    if let Some(desc) = model.last().get("d0") {
        assert_eq!(serving.get("/d0").text(), format!("/d0/{desc}"));
    }
}

/// The revisions after `after`, the oldest first.
fn history(serving: &Serving, after: u64, last: u64) -> Vec<Value> {
    let mut list = Vec::new();
    let mut before = last + 1;
    while before > after + 1 {
        let path = format!("/splitway/v1/revisions?limit=500&before={before}");
        let answer = serving.ask("GET", &path).json();
        let page = answer["revisions"].as_array().expect("a list").clone();
        before = page.last().expect("not empty")["revision"].as_u64().expect("a number");
        list.extend(page);
    }
    list.retain(|told| told["revision"].as_u64() > Some(after));
    list.reverse();
    list
}
