//! What a breaker does, step by step. `reference` compares it with a plain one, `threads` has several
//! threads use one.

mod reference;
mod threads;

use super::*;
use crate::fault::{At, Report};
use crate::wire;
use serde_json::{Value, json};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn policy(value: &Value) -> Policy {
    let mut report = Report::default();
    let compile = |wire: BreakerWire, report: &mut Report| Some(wire.compile(At::Root, report));
    let policy = wire::read(value, At::Root, &mut report, compile);
    assert_eq!(report, Report::default(), "{value}");
    policy.expect("a policy without faults")
}

fn breaker(value: &Value) -> Breaker {
    Breaker::new(policy(value))
}

/// One request, there and back at one moment; says whether it was let through.
fn pass(breaker: &Breaker, outcome: Outcome, now: u64) -> bool {
    let pass = breaker.enter(at(now));
    breaker.leave(pass, outcome, at(now));
    pass.is_admitted()
}

fn fail(breaker: &Breaker, count: usize, now: u64) {
    (0..count).for_each(|_| _ = pass(breaker, Outcome::Failure, now));
}

fn succeed(breaker: &Breaker, count: usize, now: u64) {
    (0..count).for_each(|_| _ = pass(breaker, Outcome::Success, now));
}

#[test]
fn the_gate_moves_as_the_table_says() {
    let gate = |stage, trips| Gate { epoch: Epoch(7), stage, trips, since: 500 };
    use gate::Stage::{Fresh, Shut, Steady};
    for (before, tripped) in [
        (gate(Steady, 0), 1),
        (gate(Fresh, 0), 1),
        (gate(Shut, 1), 2),
        (gate(Shut, 30), 31),
        (gate(Shut, 31), 31),
    ] {
        let next = |stage, trips| Gate { epoch: Epoch(8), stage, trips, since: 900 };
        assert_eq!(before.tripped(Epoch(7), at(900)), Some(next(Shut, tripped)));
        assert_eq!(before.closed(Epoch(7), at(900)), Some(next(Fresh, 0)));
        for other in [6, 8, 7 + (1 << 15)] {
            assert_eq!(before.tripped(Epoch(other), at(900)), None, "of another epoch");
            assert_eq!(before.closed(Epoch(other), at(900)), None);
        }
        assert_eq!(before.rebased(at(500)), None);
        let is_shut = before.stage == Shut;
        assert_eq!(before.rebased(at(499)).map(|gate| gate.since), is_shut.then_some(499));
    }
}

#[test]
fn words_hold_what_was_packed() {
    for number in [0, 1, 2, 0x7fff, 0x8000, u16::MAX] {
        for since in [0, 1, (1 << 34) - 1, (1 << 41) - 1] {
            for (stage, trips) in
                [(gate::Stage::Steady, 0), (gate::Stage::Fresh, 5), (gate::Stage::Shut, 31)]
            {
                let gate = Gate { epoch: Epoch(number), stage, trips, since };
                assert_eq!(Gate::of(gate.packed()), gate);
            }
        }
        let run = Run::default().counted(Epoch(number), true);
        assert_eq!(run.map(|run| Run::of(run.packed())), run);
        let half = Half::default().counted(Epoch(number), number, true);
        assert_eq!(half.map(|half| Half::of(half.packed())), half);
        let slot = Slot::default().taken(Epoch(number), 1, at(u64::from(number) << 40));
        assert_eq!(slot.map(|slot| Slot::of(slot.packed())), slot);
    }
    assert_eq!((Gate::of(0), Run::of(0), Half::of(0)), Default::default());
}

#[test]
fn it_trips_after_failures_in_a_row() {
    let breaker = breaker(&json!({"failures": 3}));
    for _ in 0..10 {
        fail(&breaker, 2, 0);
        assert!(pass(&breaker, Outcome::Neither, 0), "that says nothing");
        succeed(&breaker, 1, 0);
    }
    assert_eq!((breaker.phase(at(0)), breaker.share(at(0))), (Phase::Closed, WHOLE));
    fail(&breaker, 3, 7);
    assert_eq!((breaker.phase(at(7)), breaker.share(at(7))), (Phase::Open, 0));
    assert_eq!(breaker.wait(at(8)), Duration::from_millis(4_999));
    assert_eq!((breaker.phase(at(5_006)), breaker.share(at(5_006))), (Phase::Open, 0));
    assert_eq!((breaker.phase(at(5_007)), breaker.share(at(5_007))), (Phase::HalfOpen, WHOLE));
    assert_eq!(breaker.wait(at(5_007)), Duration::ZERO);
}

#[test]
fn it_closes_after_successes_of_probes() {
    let breaker = breaker(&json!({"failures": 1, "probes": 2, "successes": 3}));
    fail(&breaker, 1, 0);
    let probes = [breaker.enter(at(5_000)), breaker.enter(at(5_000))];
    assert!(probes.iter().all(|pass| pass.is_probe()));
    assert_eq!((breaker.share(at(5_000)), breaker.wait(at(5_001)).as_millis()), (0, 4_999));
    assert!(!breaker.enter(at(5_000)).is_admitted(), "all slots are taken");
    breaker.leave(probes[0], Outcome::Success, at(5_001));
    assert_eq!(breaker.share(at(5_001)), WHOLE);
    succeed(&breaker, 1, 5_001);
    assert_eq!(breaker.phase(at(5_001)), Phase::HalfOpen);
    breaker.leave(probes[1], Outcome::Success, at(5_002));
    assert_eq!((breaker.phase(at(5_002)), breaker.share(at(5_002))), (Phase::Closed, WHOLE));
    fail(&breaker, 1, 5_003);
    assert_eq!(breaker.wait(at(5_003)).as_millis(), 5_000, "closing has reset the doubling");
}

#[test]
fn successes_of_probes_need_not_be_in_a_row_with_what_says_nothing() {
    let breaker = breaker(&json!({"failures": 1, "successes": 2}));
    fail(&breaker, 1, 0);
    for outcome in [Outcome::Success, Outcome::Neither, Outcome::Neither] {
        assert!(pass(&breaker, outcome, 5_000));
        assert_eq!(breaker.phase(at(5_000)), Phase::HalfOpen);
    }
    succeed(&breaker, 1, 5_000);
    assert_eq!(breaker.phase(at(5_000)), Phase::Closed);
}

#[test]
fn the_time_doubles_with_each_trip_in_a_row() {
    let breaker = breaker(&json!({"failures": 1, "open": 2.5, "open_max": 60}));
    let (mut now, mut waits) = (1_000, Vec::new());
    fail(&breaker, 1, now);
    for _ in 0..40 {
        let wait = u64::try_from(breaker.wait(at(now)).as_millis()).unwrap();
        waits.push(wait);
        now += wait;
        assert!(pass(&breaker, Outcome::Failure, now), "a probe");
    }
    assert_eq!(&waits[..7], [2_500, 5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
    assert!(waits[7..].iter().all(|wait| *wait == 60_000));
}

#[test]
fn it_trips_by_the_share_of_failures_of_a_window() {
    let value = json!({"failures": 0, "percent": 50, "window": 10, "min_samples": 10});
    let tripped = |outcomes: &[(bool, u64)]| {
        let breaker = breaker(&value);
        for (failed, now) in outcomes {
            let outcome = if *failed { Outcome::Failure } else { Outcome::Success };
            pass(&breaker, outcome, *now);
        }
        breaker.phase(at(outcomes.last().unwrap().1)) == Phase::Open
    };
    let list = |failures: usize, successes: usize, now| {
        [vec![(true, now); failures], vec![(false, now); successes]].concat()
    };
    assert!(!tripped(&list(9, 0, 3)), "too few samples");
    assert!(tripped(&list(10, 0, 3)));
    assert!(tripped(&list(9, 1, 3)), "the sample that is wanting may be a success");
    assert!(!tripped(&[list(0, 6, 3), list(5, 0, 3)].concat()), "5 of 11");
    assert!(tripped(&[list(0, 6, 3), list(6, 0, 3)].concat()), "6 of 12");
    assert!(tripped(&[list(5, 0, 4_999), list(0, 5, 5_000)].concat()), "the half before");
    assert!(!tripped(&[list(5, 0, 4_999), list(0, 5, 10_000)].concat()), "too long ago");
    assert!(!tripped(&[list(9, 0, 4_999), list(1, 0, 10_000)].concat()), "too long ago");
}

#[test]
fn full_counts_keep_the_share() {
    let mut half = Half::default();
    let value =
        |percent| policy(&json!({"failures": 0, "percent": percent, "min_samples": 10_000}));
    for number in 0..300_000_u32 {
        half = half.counted(Epoch(0), 9, number % 10 < 3).expect("the epoch is the same");
    }
    assert!(tally::is_too_much(&value(29), half, Half::default()));
    assert!(!tally::is_too_much(&value(31), half, Half::default()));
}

#[test]
fn outcomes_from_before_a_step_do_not_count() {
    let breaker = breaker(&json!({"failures": 2, "successes": 1}));
    let early = [breaker.enter(at(0)), breaker.enter(at(0))];
    fail(&breaker, 2, 0);
    let wait = breaker.wait(at(1));
    early.iter().for_each(|pass| breaker.leave(*pass, Outcome::Failure, at(1)));
    assert_eq!(breaker.wait(at(1)), wait, "no other trip");
    early.iter().for_each(|pass| breaker.leave(*pass, Outcome::Success, at(6_000)));
    assert_eq!(breaker.phase(at(6_000)), Phase::HalfOpen, "no success of a probe");
    let forced = breaker.enter(at(1));
    breaker.leave(forced, Outcome::Success, at(6_000));
    assert_eq!(breaker.phase(at(6_000)), Phase::HalfOpen, "nobody let it through");
    let probe = breaker.enter(at(6_000));
    breaker.leave(probe, Outcome::Success, at(6_000));
    assert_eq!(breaker.phase(at(6_000)), Phase::Closed);
    for pass in [early[0], early[1], probe, forced] {
        (0..3).for_each(|_| breaker.leave(pass, Outcome::Failure, at(6_001)));
    }
    assert_eq!(breaker.phase(at(6_001)), Phase::Closed, "all are from before it closed");
    fail(&breaker, 1, 6_002);
    assert_eq!(breaker.phase(at(6_002)), Phase::Closed, "the count began anew");
}

#[test]
fn a_probe_that_is_not_heard_of_gives_way() {
    let breaker = breaker(&json!({"failures": 1, "successes": 1}));
    fail(&breaker, 1, 0);
    let lost = breaker.enter(at(5_000));
    assert!(lost.is_probe() && !breaker.enter(at(9_999)).is_admitted());
    let heard = breaker.enter(at(10_000));
    assert!(heard.is_probe());
    breaker.leave(lost, Outcome::Success, at(10_001));
    assert_eq!(breaker.phase(at(10_001)), Phase::HalfOpen, "its slot is another's");
    assert_eq!(breaker.share(at(10_001)), 0, "which it does not give back");
    breaker.leave(heard, Outcome::Success, at(20_000));
    assert_eq!(breaker.phase(at(20_000)), Phase::Closed, "late, but nobody took its slot");
}

#[test]
fn a_slow_start_grows_to_the_whole() {
    let breaker = breaker(&json!({"failures": 1, "successes": 1, "slow_start": 10}));
    assert_eq!(breaker.share(at(0)), WHOLE, "nothing has failed");
    fail(&breaker, 1, 0);
    succeed(&breaker, 1, 5_000);
    let share = |millis: u64| breaker.share(at(5_000 + millis));
    assert_eq!([0, 2_500, 5_000, 9_999, 10_000].map(share), [16, 76, 136, 255, 256]);
    let shares: Vec<u32> = (0..10_000).map(share).collect();
    assert!(shares.is_sorted());
    assert_eq!(breaker.share(at(4_000)), WHOLE, "the clock was set back: nothing to wait for");
}

#[test]
fn a_clock_that_is_set_back_leaves_nothing_open_for_longer() {
    const DAY: u64 = 86_400_000;
    for jump in [1, 4_000, 5_000, DAY, 1_000 * DAY] {
        let value = json!({"failures": 1, "successes": 1, "open_max": 5});
        let breaker = breaker(&value);
        let (before, after) = (2_000 * DAY + 1_000, 2_000 * DAY + 1_000 - jump);
        fail(&breaker, 1, before);
        assert_eq!(breaker.share(at(after)), 0, "{jump}");
        assert_eq!(breaker.wait(at(after)).as_millis(), 5_000, "{jump}");
        assert_eq!(breaker.phase(at(after + 5_000)), Phase::HalfOpen, "{jump}");
        let probe = breaker.enter(at(after + 5_000));
        assert!(probe.is_probe(), "{jump}");
        // Once more, with a probe on its way.
        let again = after - jump;
        let waits = u64::try_from(breaker.wait(at(again)).as_millis()).unwrap();
        assert!(waits <= 5_000, "{jump}");
        assert_eq!(breaker.phase(at(again + waits)), Phase::HalfOpen, "{jump}");
        let waits_more = u64::try_from(breaker.wait(at(again + waits)).as_millis()).unwrap();
        assert!(waits_more <= 5_000, "{jump}");
        breaker.leave(probe, Outcome::Success, at(again + waits));
        assert_eq!(breaker.phase(at(again + waits)), Phase::Closed, "{jump}");
    }
}

#[test]
fn a_clock_at_its_ends_overflows_nothing() {
    let moments = [0, 1, (1 << 40) - 1, 1 << 40, 1 << 41, u64::MAX - 1, u64::MAX];
    for (first, second) in moments.iter().flat_map(|a| moments.iter().map(move |b| (*a, *b))) {
        let value = json!({"failures": 1, "percent": 1, "min_samples": 1, "slow_start": 3600});
        let breaker = breaker(&value);
        for now in [first, second, first, second.saturating_add(5_000), first] {
            fail(&breaker, 2, now);
            succeed(&breaker, 4, now);
            assert!(breaker.share(at(now)) <= WHOLE);
            assert!(breaker.wait(at(now)) <= Duration::from_secs(300));
        }
    }
}

#[test]
fn a_success_after_a_success_writes_nothing() {
    let words = |breaker: &Breaker| {
        let State { gate, run, halves: [even, odd], slots } = &*breaker.state;
        let words = [gate, run, even, odd].into_iter().chain(slots);
        words.map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>()
    };
    let breaker = breaker(&json!({}));
    fail(&breaker, 5, 0);
    succeed(&breaker, 3, 5_000);
    let before = words(&breaker);
    let run = Run::of(before[1]);
    assert_eq!((run.count, breaker.phase(at(5_000))), (0, Phase::Closed));
    succeed(&breaker, 100, 5_000);
    assert_eq!(words(&breaker), before);
    assert_eq!(run.counted(Gate::of(before[0]).epoch, false), None, "not even the same");
}

#[test]
fn a_breaker_that_is_told_the_same_goes_on() {
    let told = json!({"failures": 1});
    let earlier = breaker(&told);
    let pass = earlier.enter(at(0));
    let (mut same, mut other) = (breaker(&told), breaker(&json!({"failures": 2})));
    same.follow(&earlier);
    other.follow(&earlier);
    earlier.leave(pass, Outcome::Failure, at(0));
    assert_eq!((same.phase(at(0)), other.phase(at(0))), (Phase::Open, Phase::Closed));
}

#[test]
fn epochs_come_round() {
    let breaker = breaker(&json!({"failures": 1, "open": 0.1, "open_max": 0.1, "successes": 1}));
    let mut now = 0;
    for round in 0..70_000 {
        fail(&breaker, 1, now);
        assert_eq!(breaker.phase(at(now)), Phase::Open, "{round}");
        now += 100;
        if round % 3 == 0 {
            succeed(&breaker, 1, now);
            assert_eq!(breaker.phase(at(now)), Phase::Closed, "{round}");
        }
    }
}

#[test]
fn a_request_from_long_ago_changes_no_counts() {
    let breaker = breaker(&json!({"failures": 2, "percent": 100, "min_samples": 2, "open": 0.1,
        "open_max": 0.1}));
    let early = breaker.enter(at(0));
    fail(&breaker, 2, 0);
    // More than half of all epochs, so that the early one seems to be ahead.
    let mut now = 0;
    for _ in 0..39_999 {
        now += 100;
        fail(&breaker, 1, now);
    }
    succeed(&breaker, 3, now + 100);
    assert_eq!(Gate::of(breaker.state.gate.load(Ordering::Relaxed)).epoch, Epoch(40_001));
    breaker.leave(early, Outcome::Failure, at(now + 100));
    fail(&breaker, 1, now + 100);
    assert_eq!(breaker.phase(at(now + 100)), Phase::Closed);
    fail(&breaker, 1, now + 100);
    assert_eq!(breaker.phase(at(now + 100)), Phase::Open);
}

#[test]
fn what_was_counted_long_ago_is_not_ahead() {
    for told in [json!({"failures": 2}), json!({"failures": 0, "percent": 100, "min_samples": 2})] {
        let mut told = told;
        (told["open"], told["open_max"]) = (json!(0.1), json!(0.1));
        let (breaker, mut now) = (breaker(&told), 0);
        fail(&breaker, 2, now);
        for _ in 0..39_999 {
            now += 100;
            fail(&breaker, 1, now);
        }
        succeed(&breaker, 3, now + 100);
        assert_eq!(breaker.phase(at(now + 100)), Phase::Closed, "{told}");
        fail(&breaker, 2, now + 100);
        assert_eq!(breaker.phase(at(now + 100)), Phase::Open, "{told}");
    }
}

#[test]
fn words_of_a_later_epoch_are_left_alone() {
    for (earlier, later) in [(0, 1), (u16::MAX, 0), (0xfff0, 0x7fef)] {
        let (earlier, later) = (Epoch(earlier), Epoch(later));
        let run = |epoch| Run::of(used_word(epoch));
        assert_eq!(run(later).counted(earlier, true), None);
        assert_eq!(run(later).emptied(earlier), None);
        let begun = run(earlier).counted(later, true);
        assert_eq!(begun.map(|run| run.count), Some(1), "a new count");
        let half = |epoch| Half::of(used_word(epoch));
        assert_eq!(half(later).counted(earlier, 0, true), None);
        assert_eq!(half(later).emptied(earlier), None);
        let begun = Half::of(u64::from(later.0) << 48).counted(later, 7, true);
        assert_eq!(half(earlier).counted(later, 7, true), begun, "a new count");
        let slot = |epoch: Epoch| Slot::of(u64::from(epoch.0) << 48);
        assert_eq!(slot(later).taken(earlier, 100, at(0)), None);
        assert!(slot(earlier).taken(later, 100, at(0)).is_some());
    }
}

/// A word of the tally with something in each field, in this epoch.
fn used_word(epoch: Epoch) -> u64 {
    u64::from(epoch.0) << 48 | 0x0000_0007_0003_0005
}

#[test]
fn what_is_told_is_checked() {
    let faults = |value: &Value| {
        let mut report = Report::default();
        let compile = |wire: BreakerWire, report: &mut Report| Some(wire.compile(At::Root, report));
        wire::read(value, At::Root, &mut report, compile);
        let all = report.faults.iter().chain(&report.warnings);
        all.map(ToString::to_string).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    for value in [
        json!({}),
        json!({"failures": 0, "percent": 100, "window": 0.1, "min_samples": 1}),
        json!({"open": 400}),
        json!({"open": 0.1, "open_max": 86400, "probes": 64, "slow_start": 3600, "successes": 1}),
    ] {
        assert_eq!(faults(&value), none, "{value}");
    }
    for (value, expected) in [
        (
            json!({"failures": 0}),
            "(document): it would never trip: expected `failures` above 0, or `percent`",
        ),
        (
            json!({"failures": 10_001}),
            "/failures: expected an integer from 0 to 10000, found 10001",
        ),
        (json!({"failures": -1}), "/failures: expected an integer from 0, found `-1`"),
        (json!({"percent": 0}), "/percent: expected an integer from 1 to 100, found 0"),
        (json!({"percent": 101}), "/percent: expected an integer from 1 to 100, found 101"),
        (
            json!({"percent": 1, "min_samples": 0}),
            "/min_samples: expected an integer from 1 to 10000, found 0",
        ),
        (
            json!({"percent": 1, "window": 0}),
            "/window: expected seconds, from 0.1 to 3600, found 0",
        ),
        (json!({"open": 100_000}), "/open: expected seconds, from 0.1 to 86400, found 100000"),
        (
            json!({"open": 9, "open_max": 8}),
            "/open_max: expected at least as many seconds as `open`",
        ),
        (json!({"probes": 65}), "/probes: expected an integer from 1 to 64, found 65"),
        (json!({"successes": 0}), "/successes: expected an integer from 1 to 10000, found 0"),
        (json!({"slow_start": -1}), "/slow_start: expected seconds, from 0 to 3600, found -1"),
        (json!({"window": 5}), "/window: has no effect without `percent`"),
        (json!({"min_samples": 5}), "/min_samples: has no effect without `percent`"),
        (json!({"probe": 1}), "/probe: unknown key; did you mean `probes`?"),
    ] {
        assert_eq!(faults(&value), [expected], "{value}");
    }
}
