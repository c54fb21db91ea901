use super::*;

fn answered(status: u16, millis: u64) -> Answered {
    let until_head = Duration::from_millis(millis);
    let at = Timestamp::from_millis(1000);
    Answered { status, problem: None, at, until_head, waited: Some(Duration::from_millis(1)) }
}

fn way(node: usize, consumer: usize) -> Way {
    Way { node: Some(node), consumer: Some(consumer) }
}

#[test]
fn a_key_tells_lanes_nodes_and_consumers_apart_and_back() {
    for lane in [0, 1, 77, u64::from(u32::MAX) - 1] {
        for way in [Way::default(), way(0, 0), way(65_534, 0), way(3, 65_534)] {
            let key = packed(lane, way).expect("it has one");
            assert_eq!(unpacked(key), (lane, way));
        }
    }
    assert_eq!(packed(u64::from(u32::MAX), Way::default()), None);
    assert_eq!(packed(1, way(65_535, 70_000)), packed(1, Way::default()));
}

#[test]
fn recording_allocates_nothing_after_the_first_of_a_kind() {
    let meters = Meters::new(10, 100);
    let record = || {
        for (lane, status) in [(Some(3), 200), (Some(4), 503), (None, 404)] {
            let problem = (status == 404).then_some(Problem::NoRoute);
            let place = meters.lane(lane);
            place.pick(Reason::Turn);
            place.attempt(2);
            place.leave();
            let answered = Answered { problem, ..answered(status, 12) };
            let running = meters.answer(lane, way(1, 2), answered);
            running.pass(5, 1000);
            running.end(Timestamp::from_millis(2000));
        }
    };
    let allocated = |times: usize| {
        allocation_counter::measure(|| (0..times).for_each(|_| record())).count_total
    };
    assert!(allocated(1) > 0);
    assert_eq!(allocated(10_000), 0);
    assert_eq!(meters.requests(), 3 * 10_001);
    assert_eq!(meters.problems().collect::<Vec<_>>(), [("destination_not_found", 10_001)]);
    let flows = meters.flow_counts();
    let (_, _, flow) = flows.iter().find(|(lane, ..)| *lane == 3).expect("it was counted");
    assert_eq!((flow.sent, flow.whole.count(), flow.statuses[&200]), (10_001_000, 10_001, 10_001));
    assert_eq!(flow.whole.quantile(0.5).map(f64::round), Some(850.0));
    // 12 ms until the head, of which 1 was the upstream's; the rest of the second is its own.
    assert_eq!((flow.own.sum_ms, flow.upstream.sum_ms), (11 * 10_001, 989 * 10_001));
}

#[test]
fn what_has_no_place_is_counted_together() {
    let meters = Meters::new(u64::MAX - 1, u64::MAX - 1);
    let lanes = u64::try_from(PLACES_MAX).expect("small") + 500;
    for lane in 0..lanes {
        let _ = meters.answer(Some(lane), Way::default(), answered(200, 1));
    }
    assert_eq!(meters.places(), (PLACES_MAX, PLACES_MAX));
    let (lane, flow) = meters.rest();
    assert_eq!((lane.requests(), flow.statuses[&200], meters.overflow()), (500, 500, 1000));
}

#[test]
fn counts_add_up_and_come_apart_again() {
    let meters = Meters::new(1, 1);
    let lane = meters.lane(Some(0));
    lane.pick(Reason::Turn);
    lane.pick(Reason::Override);
    let _ = meters.answer(Some(0), Way::default(), answered(502, 30));
    let before = meters.lane_counts()[&0].clone();
    lane.pick(Reason::Key);
    let _ = meters.answer(Some(0), Way::default(), answered(200, 30));
    let after = meters.lane_counts()[&0].clone();
    let since = after.since(&before);
    assert_eq!((since.requests(), since.errors(), since.picked()), (1, 0, 1));
    assert_eq!((after.requests(), after.errors(), after.picked()), (2, 1, 2));
    let mut sum = before.clone();
    sum.add(&since);
    assert_eq!(sum, after);
    assert!(LaneCounts::default().is_empty() && !since.is_empty());
}

#[test]
fn every_token_of_a_problem_is_counted_by_itself() {
    let meters = Meters::new(1, 1);
    for problem in [Problem::NoRoute, Problem::CircuitOpen, Problem::NoUpstream] {
        let answered = Answered { problem: Some(problem), ..answered(problem.status(), 0) };
        let _ = meters.answer(None, Way::default(), answered);
        assert!(meters.problems().any(|(token, count)| (token, count) == (problem.token(), 1)));
    }
}
