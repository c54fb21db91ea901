//! What nodes do: fine most of the time, and every kind of bad in between.

use std::time::Duration;

use splitway_tests::chance::Chance;

/// What a node does with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Answers.
    Fine,
    /// Cannot be connected to.
    Refuses,
    /// Takes the request and closes the connection.
    Resets,
    /// Takes the request and says nothing.
    Hangs,
    /// Answers with this status.
    Status(u16),
    /// Answers 200 with a stream that ends at once.
    EmptyStream,
    /// Answers 200 with a stream that begins with an error.
    ErrorStream,
    /// Answers 200 with a stream that begins and breaks off before its first event is whole.
    BrokenStream,
}

const ALL: [Weather; 9] = [
    Weather::Fine,
    Weather::Refuses,
    Weather::Resets,
    Weather::Hangs,
    Weather::Status(503),
    Weather::Status(429),
    Weather::EmptyStream,
    Weather::ErrorStream,
    Weather::BrokenStream,
];

/// The weather at one node: fronts with the times at which they arrive.
#[derive(Debug)]
pub(crate) struct Climate {
    fronts: Vec<(Duration, Weather)>,
    latency_max: u64,
}

impl Climate {
    /// Changes now and then for as long as `span`; fine from then on.
    pub(crate) fn draw(chance: &mut Chance, span: Duration) -> Self {
        let mut fronts = vec![(Duration::ZERO, Weather::Fine)];
        let mut at = Duration::ZERO;
        while at < span {
            let weather = if chance.one_in(2) { Weather::Fine } else { chance.one_of(&ALL) };
            fronts.push((at, weather));
            at += Duration::from_millis(100 + chance.draw() % 3_000);
        }
        fronts.push((span, Weather::Fine));
        Self { fronts, latency_max: 1 + chance.draw() % 60 }
    }

    /// What the node does at a time.
    pub(crate) fn at(&self, now: Duration) -> Weather {
        let passed = self.fronts.iter().rev().find(|(since, _)| *since <= now);
        passed.map_or(Weather::Fine, |(_, weather)| *weather)
    }

    /// How long it takes to do so.
    pub(crate) fn latency(&self, draw: u64) -> Duration {
        Duration::from_millis(draw % self.latency_max)
    }
}
