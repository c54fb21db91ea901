use super::*;
use crate::limit::trial::{at, draw};

const MINUTE: u64 = 60_000;

fn enter(limit: &Conn, state: &mut State, now: u64) -> Option<Place> {
    let (next, reading) = limit.enter(*state, at(now));
    *state = next.unwrap_or(*state);
    assert_eq!(reading.is_admitted, reading.place.is_some());
    reading.place
}

fn leave(limit: &Conn, state: &mut State, place: Place) {
    *state = limit.leave(*state, place.epoch).unwrap_or(*state);
}

#[test]
fn a_place_is_free_when_its_request_has_left() {
    let (limit, mut state) = (Conn { conn: 1, burst: 1 }, State::default());
    let first = enter(&limit, &mut state, 0).unwrap();
    let second = enter(&limit, &mut state, 1).unwrap();
    assert_eq!((first.delays, second.delays), (0, 1));
    assert_eq!(enter(&limit, &mut state, 2), None);
    leave(&limit, &mut state, first);
    assert_eq!(enter(&limit, &mut state, 3).map(|place| place.delays), Some(1));
    leave(&limit, &mut state, second);
    leave(&limit, &mut state, second);
    assert_eq!(state, State::default(), "all are gone");
    leave(&limit, &mut state, second);
    assert_eq!(state, State::default(), "and no more than all");
}

#[test]
fn a_request_that_is_forgotten_frees_its_place_after_ten_to_twenty_minutes() {
    for begin in [0, 1, MINUTE, 10 * MINUTE - 1, 10 * MINUTE] {
        let (limit, mut state) = (Conn { conn: 1, burst: 0 }, State::default());
        let lost = enter(&limit, &mut state, begin).unwrap();
        assert_eq!(enter(&limit, &mut state, begin + 10 * MINUTE), None);
        let other = enter(&limit, &mut state, begin + 20 * MINUTE).expect("its place is free");
        leave(&limit, &mut state, lost);
        assert_eq!(enter(&limit, &mut state, begin + 20 * MINUTE), None, "that was not its place");
        leave(&limit, &mut state, other);
        assert!(enter(&limit, &mut state, begin + 20 * MINUTE).is_some());
    }
}

#[test]
fn no_more_are_under_way_than_may_be() {
    let mut seed = 5;
    for _ in 0..50 {
        let limit = Conn { conn: 1 + draw(&mut seed, 5), burst: draw(&mut seed, 5) };
        let (mut state, mut now, mut under_way) = (State::default(), 0, Vec::new());
        for _ in 0..2_000 {
            now += u64::from(draw(&mut seed, 2_000));
            let most = usize::try_from(limit.conn + limit.burst).unwrap();
            under_way.retain(|(since, _)| now - since < 8 * MINUTE);
            if under_way.len() < most && draw(&mut seed, 2) == 0 {
                // None that was given up leaves: those hold theirs, so that fewer may enter.
                if let Some(place) = enter(&limit, &mut state, now) {
                    under_way.push((now, place));
                }
            } else if let Some((_, place)) = under_way.pop() {
                leave(&limit, &mut state, place);
            }
            assert!(state.load >> BITS <= 10 && state.load & CONN_MAX <= 10, "{state:?}");
            if under_way.len() == most {
                assert_eq!(enter(&limit, &mut state, now), None);
            }
        }
    }
}

#[test]
fn a_clock_that_jumps_does_no_harm() {
    const DAY: u64 = 86_400_000;
    for jump in [MINUTE, 15 * MINUTE, DAY, 400 * DAY] {
        let (limit, mut state) = (Conn { conn: 1, burst: 0 }, State::default());
        let then = 2_000 * DAY;
        let early = enter(&limit, &mut state, then).unwrap();
        let back = then - jump;
        assert_eq!(enter(&limit, &mut state, back), None);
        let mut now = back;
        while enter(&limit, &mut state, now).is_none() {
            now += MINUTE;
            if now == back + 5 * MINUTE {
                leave(&limit, &mut state, early);
            }
        }
        assert!(now <= back + 20 * MINUTE, "{jump}: {}", now - back);
        assert!(enter(&limit, &mut state, now + jump.max(20 * MINUTE)).is_some());
    }
}
