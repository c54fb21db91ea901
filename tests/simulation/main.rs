//! Thousands of small worlds in which upstreams fail, clients leave, clocks jump and the configuration
//! changes while requests are under way; and what must hold in each of them.
//!
//! A world is made of its seed alone. `SIMULATION_SEED` with `SIMULATION_ROUNDS=1` shows one again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod invariants;
mod platform;
mod setting;
mod weather;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splitway_core::fault::Report;
use splitway_core::problem::Problem;
use splitway_core::serve::{Reply, serve, shadow};
use splitway_core::snapshot::{Snapshot, compile_json};
use splitway_tests::chance::{Chance, environment};

use invariants::Seen;
use platform::{Effects, Request, Scene};
use setting::Setting;
use weather::Climate;

/// How long the weather changes.
const STORM: Duration = Duration::from_secs(20);

/// How many requests a world has in that time.
const REQUESTS_COUNT: usize = 60;

/// When it has been calm for so long that all that was left alone is to be tried again.
const CALM: Duration = Duration::from_secs(60);

/// How many requests are forgotten then, at once: they are probes of all that was left alone last.
const FORGOTTEN_COUNT: usize = 10;

/// How many requests a world has then, one after the other, until all is to be as it was before.
const PROBES_COUNT: usize = 60;

/// How many it has after these.
const LAST_COUNT: usize = 40;

#[test]
fn requests_are_answered_once_and_no_limit_is_passed() {
    let first = environment("SIMULATION_SEED", 1);
    let rounds = environment("SIMULATION_ROUNDS", 1_500);
    let mut seen = Seen::new();
    for seed in first..first + rounds {
        let told = std::panic::catch_unwind(|| simulate(seed));
        let told = told.unwrap_or_else(|_| panic!("SIMULATION_SEED={seed} SIMULATION_ROUNDS=1"));
        told.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
    }
    if rounds >= 100 {
        let never: Vec<_> = seen.iter().filter(|(_, count)| **count == 0).collect();
        assert!(seen.len() == 14 && never.is_empty(), "never seen: {never:?} of {seen:?}");
    }
}

/// Everything of one seed, from beginning to end.
fn simulate(seed: u64) -> Seen {
    let mut chance = Chance::new(seed);
    let setting = Setting::draw(&mut chance);
    let scene = Rc::new(scene(&setting, &mut chance));
    let settings = Rc::new(RefCell::new(vec![setting]));
    let requests = draw_requests(&mut chance);
    let mut forgotten_count = 0;
    for (request, at, leaves_after) in requests.clone() {
        let task = answer(Rc::clone(&scene), request, at);
        let task = scene.world.spawn(task);
        if let Some(patience) = leaves_after {
            let world = Rc::clone(&scene.world);
            let is_forgotten = at >= CALM || chance.one_in(3);
            forgotten_count += usize::from(is_forgotten);
            scene.world.spawn(async move {
                world.sleep(at + patience).await;
                match is_forgotten {
                    true => world.forget(task),
                    false => drop(world.cancel(task)),
                }
            });
        }
    }
    scene.world.spawn(disturb(Rc::clone(&scene), Rc::clone(&settings), chance.draw()));
    scene.world.run();
    let left = requests.iter().filter(|(_, _, leaves)| leaves.is_some());
    let left = left.map(|(request, ..)| request.number).collect();
    let requests = requests.iter().map(|(request, ..)| request.clone()).collect::<Vec<_>>();
    let under_way = scene.in_flight.get() + scene.copies.get();
    assert!(under_way <= forgotten_count, "an attempt is still under way");
    // Whatever was forgotten keeps the scene.
    let journal = scene.journal.take();
    let last = REQUESTS_COUNT + PROBES_COUNT;
    invariants::check_calm(&journal, settings.borrow().last().unwrap(), last..last + LAST_COUNT);
    let mut seen = invariants::check(&journal, &settings.borrow(), &requests, &left);
    seen.insert("a task was forgotten", under_way);
    seen
}

fn compile(setting: &Setting) -> Snapshot {
    let document = setting.document();
    let mut report = Report::default();
    let compiled = compile_json(&document, 0, &mut report);
    compiled.unwrap_or_else(|| panic!("{document}: {:?}", report.faults))
}

fn scene(setting: &Setting, chance: &mut Chance) -> Scene {
    let mut climates = BTreeMap::new();
    for (number, branch) in setting.branches.iter().enumerate() {
        for node in 0..branch.nodes_count {
            climates.insert(Setting::node(number, node), Climate::draw(chance, STORM));
        }
    }
    climates.insert(setting::MIRROR.to_owned(), Climate::draw(chance, STORM));
    Scene {
        world: Rc::default(),
        climates,
        snapshot: RefCell::new((0, Arc::new(compile(setting)))),
        skew: Cell::new(Duration::from_secs(1_795_348_800)),
        chance: RefCell::new(Chance::new(chance.draw())),
        journal: RefCell::default(),
        in_flight: Cell::default(),
        copies: Cell::default(),
        copies_max: setting.mirror.as_ref().map_or(0, |mirror| mirror.in_flight),
    }
}

/// When which requests come, and how long they wait for an answer.
fn draw_requests(chance: &mut Chance) -> Vec<(Request, Duration, Option<Duration>)> {
    let request = |number| {
        let request = Request {
            number,
            method: chance.one_of(&["GET", "POST", "PUT"]),
            has_key: chance.one_in(3),
            body: chance.one_of(&[0, 50, setting::REPLAY_MAX, 5_000]),
            is_sized: !chance.one_in(4),
        };
        let at = Duration::from_millis(chance.draw() % u64::try_from(STORM.as_millis()).unwrap());
        let patience = Duration::from_millis(chance.draw() % 1_000);
        (request, at, chance.one_in(8).then_some(patience))
    };
    let of_the_storm: Vec<_> = (0..REQUESTS_COUNT).map(request).collect();
    let calm = |number: usize| {
        let request = Request { number, method: "GET", has_key: false, body: 0, is_sized: true };
        let each = Duration::from_millis(500);
        let is_forgotten = number < REQUESTS_COUNT + FORGOTTEN_COUNT;
        let patience = is_forgotten.then_some(Duration::from_millis(2));
        (request, CALM + each * u32::try_from(number).unwrap(), patience)
    };
    let all = REQUESTS_COUNT + PROBES_COUNT + LAST_COUNT;
    of_the_storm.into_iter().chain((REQUESTS_COUNT..all).map(calm)).collect()
}

/// One request, from its arrival to its answer.
async fn answer(scene: Rc<Scene>, request: Request, at: Duration) {
    scene.world.sleep(at).await;
    let body = request.body;
    let effects = Effects { scene, request: request.number, is_copy: false };
    let served = serve(&effects, &request, body).await;
    if let Some(copy) = served.shadow {
        shadow(&Effects { is_copy: true, ..effects }, &request, copy).await;
    }
    match served.reply {
        Reply::Relay(_, relay) => drop(relay),
        Reply::Own(answer, problem) => {
            assert_eq!(Some(answer.status), problem.map(Problem::status));
        }
    }
}

/// Changes the weights now and then, and the wall clock.
async fn disturb(scene: Rc<Scene>, settings: Rc<RefCell<Vec<Setting>>>, seed: u64) {
    let mut chance = Chance::new(seed);
    for _ in 0..8 {
        scene.world.sleep(Duration::from_millis(chance.draw() % 4_000)).await;
        if chance.one_in(3) {
            let jump = Duration::from_secs(chance.draw() % 100);
            let skew = scene.skew.get();
            scene.skew.set(if chance.one_in(2) { skew + jump } else { skew - jump });
            continue;
        }
        let setting = settings.borrow().last().unwrap().reweighed(&mut chance);
        let number = settings.borrow().len();
        let earlier = Arc::clone(&scene.snapshot.borrow().1);
        let snapshot = compile(&setting).following(&earlier);
        *scene.snapshot.borrow_mut() = (number, Arc::new(snapshot));
        settings.borrow_mut().push(setting);
    }
}
