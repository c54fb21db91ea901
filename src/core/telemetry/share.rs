//! Which requests are told of where not all are.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Record;

/// A share of requests, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// Why a text is not a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAShare;

impl fmt::Display for NotAShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a share from 0 to 1, such as 0.01, in steps of a millionth")
    }
}

impl std::error::Error for NotAShare {}

const MILLION: u32 = 1_000_000;

impl Share {
    /// All.
    pub const WHOLE: Self = Self(MILLION);
    /// None.
    pub const NONE: Self = Self(0);

    /// The share as a number from 0 to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }
}

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let share: f64 = text.parse().map_err(|_| NotAShare)?;
        if !(0.0..=1.0).contains(&share) {
            return Err(NotAShare);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1e6")]
        let parts = (share * f64::from(MILLION)).round() as u32;
        // A share that is not nothing shall not be taken for nothing.
        if parts == 0 && share > 0.0 { Err(NotAShare) } else { Ok(Self(parts)) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

/// Takes a share of what passes, evenly: of any `n` in a row `n` times the share, rounded down or up.
#[derive(Debug)]
pub struct Sampler {
    share: Share,
    /// The sum of the shares so far, in millionths.
    sum: AtomicU64,
}

impl Sampler {
    /// Takes `share`; `phase` says where in its turns it begins, which is all the same where one of them
    /// sees everything, and has to be drawn where many see little each.
    pub fn new(share: Share, phase: u64) -> Self {
        Self { share, sum: AtomicU64::new(phase % u64::from(MILLION)) }
    }

    /// Begins in the middle between two that it takes.
    pub fn centred(share: Share) -> Self {
        Self::new(share, u64::from(MILLION / 2))
    }

    /// The share that it takes.
    pub fn share(&self) -> Share {
        self.share
    }

    /// Whether it takes the next one.
    pub fn takes(&self) -> bool {
        let Share(part @ 1..MILLION) = self.share else { return self.share == Share::WHOLE };
        let before = self.sum.fetch_add(u64::from(part), Ordering::Relaxed);
        before % u64::from(MILLION) + u64::from(part) >= u64::from(MILLION)
    }
}

/// Of which requests there is a line in a log.
#[derive(Debug)]
pub enum Telling {
    /// Of none.
    Nothing,
    /// Of remarkable ones ([`Record::is_remarkable`]).
    Remarkable,
    /// Of this share, and of all that are remarkable, failed, or took this long until the head of the
    /// response was there.
    Sampled(Sampler, Option<Duration>),
}

impl Telling {
    /// Whether this request is told of; if so, which share of those like it is.
    pub fn takes(&self, record: &Record<'_>) -> Option<Share> {
        let is_told = match self {
            Self::Nothing => false,
            Self::Remarkable => record.is_remarkable(),
            Self::Sampled(sampler, slow) => {
                let is_slow = slow.is_some_and(|slow| record.duration >= slow);
                if !(record.is_remarkable() || record.has_failed() || is_slow) {
                    return sampler.takes().then_some(sampler.share);
                }
                true
            }
        };
        is_told.then_some(Share::WHOLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn share(text: &str) -> Share {
        text.parse().expect("a share")
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for (text, parts) in
            [("0", 0), ("1", MILLION), ("0.01", 10_000), ("1e-6", 1), ("0.333333", 333_333)]
        {
            assert_eq!(text.parse(), Ok(Share(parts)), "{text}");
        }
        for text in ["", "-0.1", "1.01", "1e-7", "NaN", "inf", "10%", "0,1"] {
            assert_eq!(text.parse::<Share>(), Err(NotAShare), "{text}");
        }
        assert_eq!(share("0.01").to_string(), "0.01");
    }

    #[test]
    fn every_run_of_requests_has_its_share() {
        for text in ["0", "0.000001", "0.01", "0.1", "0.333333", "0.5", "0.9", "1"] {
            let sampler = Sampler::new(share(text), 123_456);
            let taken: Vec<u64> = (0..3000).map(|_| u64::from(sampler.takes())).collect();
            for length in [1, 7, 100, 999] {
                let exact = share(text).0 as usize * length;
                let least = exact / MILLION as usize;
                let most = exact.div_ceil(MILLION as usize);
                for run in taken.windows(length) {
                    let count = usize::try_from(run.iter().sum::<u64>()).expect("few");
                    assert!((least..=most).contains(&count), "{count} of {length} for {text}");
                }
            }
        }
    }

    #[test]
    fn a_million_requests_have_exactly_their_share_whatever_threads_they_are_on() {
        let sampler = Sampler::centred(share("0.012345"));
        let count = || (0..250_000).filter(|_| sampler.takes()).count();
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it counts")).collect()
        });
        assert_eq!(counts.iter().sum::<usize>(), 12_345);
    }

    #[test]
    fn what_is_remarkable_failed_or_slow_is_told_of_whatever_the_share() {
        let fine = Record::new(Timestamp::from_millis(0), 200);
        let slow = Record { duration: Duration::from_secs(1), ..fine.clone() };
        let failed = Record { status: 500, ..fine.clone() };
        let moved = Record { picked: Some("v2"), ..fine.clone() };
        let refused =
            Record { status: 404, problem: Some("destination_not_found"), ..fine.clone() };
        let never = Sampler::new(Share::NONE, 0);
        let sampled = Telling::Sampled(never, Some(Duration::from_secs(1)));
        for (record, in_sample, by_default) in [
            (&fine, None, None),
            (&slow, Some(Share::WHOLE), None),
            (&failed, Some(Share::WHOLE), None),
            (&moved, Some(Share::WHOLE), Some(Share::WHOLE)),
            (&refused, Some(Share::WHOLE), Some(Share::WHOLE)),
        ] {
            assert_eq!(sampled.takes(record), in_sample, "{record:?}");
            assert_eq!(Telling::Remarkable.takes(record), by_default, "{record:?}");
            assert_eq!(Telling::Nothing.takes(record), None, "{record:?}");
        }
        let half = Telling::Sampled(Sampler::new(share("0.5"), 0), None);
        let told = (0..10).filter(|_| half.takes(&failed).is_some()).count();
        assert_eq!(told, 10);
        let told: Vec<_> = (0..4).map(|_| half.takes(&fine)).collect();
        assert_eq!(told, [None, Some(share("0.5")), None, Some(share("0.5"))]);
    }
}
