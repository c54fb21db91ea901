//! The rounds of a case: all lanes take a turn in each, in random order, and are compared inside of a round.

use std::io;
use std::time::Duration;

use splitway_tests::chance::Chance;

use crate::case::{Case, Load};
use crate::cores::{Cores, Look};
use crate::figures::{Series, Taken, Turn};
use crate::h2load::Length;
use crate::lane::Running;
use crate::setup::World;
use crate::{events, h2load, idle, smoke, wrk};

/// Memory does not vary; each of these rounds starts all proxies anew.
const IDLE_ROUNDS: usize = 3;

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How many rounds are to count.
    pub(crate) rounds: usize,
    /// How long a turn is.
    pub(crate) seconds: u32,
    /// Which core is whose.
    pub(crate) cores: Cores,
    /// How many connections may be kept open, and be idle.
    pub(crate) idle: usize,
}

/// Measures all lanes of a case.
pub(crate) fn case(
    case: &Case,
    world: &World,
    plan: &Plan,
    chance: &mut Chance,
) -> io::Result<Vec<Series>> {
    let taken = match case.load {
        Load::Idle => idle_rounds(case, world, plan, chance)?,
        Load::Requests(_) | Load::Http2(_) | Load::Streams => rounds(case, world, plan, chance)?,
    };
    let series = |(lane, own): (&crate::lane::Lane, &Vec<Taken>)| {
        Series::new(own, taken.get(lane.against).unwrap_or(own))
    };
    Ok(case.lanes.iter().zip(&taken).map(series).collect())
}

/// Measures until enough rounds are good, or twice as many were not enough for that.
fn rounds(
    case: &Case,
    world: &World,
    plan: &Plan,
    chance: &mut Chance,
) -> io::Result<Vec<Vec<Taken>>> {
    let mut lanes = Vec::new();
    for lane in &case.lanes {
        lanes.push(lane.start(world, plan.cores)?);
        smoke::check(case, &lanes[lanes.len() - 1], world)?;
    }
    // The first turn makes connections to the origin, and does not count.
    for lane in &lanes {
        turn(case, lane, world, &Plan { seconds: 1, ..*plan })?;
    }
    let mut taken = vec![Vec::new(); lanes.len()];
    let mut good = 0;
    for round in 0..plan.rounds * 2 {
        let (mut spoilt, mut most) = (0, 0.0_f64);
        for at in order(lanes.len(), chance) {
            let one = turn(case, &lanes[at], world, plan)?;
            spoilt += usize::from(one.is_spoilt());
            most = most.max(one.foreign);
            taken[at].push(one);
        }
        good += usize::from(spoilt == 0);
        let (round, percent) = (round + 1, most * 100.0);
        let note = format!("{spoilt} turns spoilt, others had up to {percent:.0} % of the core");
        crate::say(&format!("{}: round {round}, {note}", case.id));
        if good == plan.rounds {
            break;
        }
    }
    Ok(taken)
}

/// Has a lane loaded, and looks at what its proxy took.
pub(crate) fn turn(
    case: &Case,
    running: &Running<'_>,
    world: &World,
    plan: &Plan,
) -> io::Result<Taken> {
    let core = plan.cores.proxy;
    let before = running.spent();
    let look = Look::at(core, before);
    let (turn, count) = match &case.load {
        Load::Requests(requests) => wrk::load(requests, running, world, plan.seconds)?,
        Load::Http2(requests) => {
            h2load::load(requests, running, world, Length::Seconds(plan.seconds))?
        }
        Load::Streams => events::load(running, Duration::from_secs(plan.seconds.into()))?,
        Load::Idle => return Err(io::Error::other("nothing is asked while all are idle")),
    };
    let after = running.spent();
    let foreign = look.foreign(core, after);
    let cpu = (after.all - before.all) / count;
    let user = (after.user - before.user) / count;
    Ok(Taken { turn: Turn { cpu, user, memory: running.memory(), ..turn }, foreign })
}

fn idle_rounds(
    case: &Case,
    world: &World,
    plan: &Plan,
    chance: &mut Chance,
) -> io::Result<Vec<Vec<Taken>>> {
    let mut taken = vec![Vec::new(); case.lanes.len()];
    for round in 0..plan.rounds.min(IDLE_ROUNDS) {
        for at in order(case.lanes.len(), chance) {
            let turn = idle::measure(&case.lanes[at], world, plan.cores, plan.idle)?;
            taken[at].push(Taken { turn, foreign: 0.0 });
        }
        crate::say(&format!("{}: round {}", case.id, round + 1));
    }
    Ok(taken)
}

/// A random order (Fisher and Yates).
fn order(count: usize, chance: &mut Chance) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, chance.below(last + 1));
    }
    order
}
