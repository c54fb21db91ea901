//! The plugins `limit-count`, `limit-req` and `limit-conn`: what becomes of a request that one of them counts.

use std::time::Duration;

use serde_json::json;

use super::{Asked, Effect, Found, Passage, Verdict};
use crate::head::Edits;
use crate::limit::{Bound, Draw, Grant, Hold, Limit, Policy, Reading, seconds};
use crate::problem::{Answer, Problem};

/// The type of the bodies that APISIX writes.
const PLAIN: &str = "text/plain; charset=utf-8";

impl Limit {
    /// Whether a request may pass. Nothing is counted before its body is there, if the key is in it.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        let key = self.quota.key.of(asked.facts);
        if asked.facts.wants_body() {
            return Verdict::default();
        }
        let means = asked.means;
        let (reading, hold) = match self.quota.policy {
            Policy::Local => {
                self.count(asked.counters, &key, (means.now, means.chance), means.is_trial)
            }
            Policy::Shared if self.quota.counts_places() => return self.enter(asked, &key),
            Policy::Shared => match self.shared(asked, &key) {
                Ok(reading) => (reading, None),
                Err(verdict) => return verdict,
            },
        };
        self.decide(&reading, hold)
    }

    /// What becomes of a request of which this is known.
    fn decide<'a>(&self, reading: &Reading, hold: Option<Hold>) -> Verdict<'a> {
        if !reading.is_admitted {
            return self.refuse(reading);
        }
        let mut passage = Passage { hold, ..self.passage(reading) };
        passage.pause = Duration::from_millis(reading.pause_ms);
        Verdict::Passes(passage)
    }

    /// What becomes of a request of a shared limit, or what else there is to do.
    #[expect(clippy::result_large_err, reason = "there is one of it at a time, on the stack")]
    fn shared<'a>(&self, asked: &Asked<'_, '_>, key: &str) -> Result<Reading, Verdict<'a>> {
        let (counters, means) = (asked.counters, asked.means);
        let spot = self.spot(counters, key, means.chance);
        match &asked.found {
            Some(Found::Granted(came)) => {
                counters.note_store(spot.mark(), came.is_ok(), means.now);
                match came {
                    Ok(grant) => {
                        let grant = Grant { pause_ms: self.pause_ms(grant), ..*grant };
                        Ok(spot.fund(&grant, asked.needed_at, means.now))
                    }
                    Err(_) => Err(self.degraded()),
                }
            }
            Some(Found::Done | Found::Verified(_) | Found::Entered(..)) | None => {
                match spot.draw(means.now, means.is_trial) {
                    Draw::Known(reading) => Ok(reading),
                    Draw::Asks(_) if means.is_trial => Err(Verdict::default()),
                    Draw::Asks(_) if !counters.may_ask(spot.mark(), means.now) => {
                        Err(self.degraded())
                    }
                    Draw::Asks(want) => match self.toll(key, want) {
                        Some(toll) => Err(Verdict::Needs(Effect::Toll(toll))),
                        None => Err(self.degraded()),
                    },
                }
            }
        }
    }

    /// What becomes of a request that wants a place in the store, or what else there is to do. Places may be
    /// free at any time, so that each request asks.
    fn enter<'a>(&self, asked: &Asked<'_, '_>, key: &str) -> Verdict<'a> {
        let (counters, means) = (asked.counters, asked.means);
        let mark = self.mark(counters, key, means.chance);
        let (grant, leaving) = match &asked.found {
            Some(Found::Entered(grant, leaving)) => (Ok(grant), Some(leaving)),
            Some(Found::Granted(came)) => (came.as_ref(), None),
            Some(Found::Done | Found::Verified(_)) | None => {
                let may_ask = || means.is_trial || counters.may_ask(mark, means.now);
                return match self.entry(key, means.chance).filter(|_| may_ask()) {
                    Some(_) if means.is_trial => Verdict::default(),
                    Some(toll) => Verdict::Needs(Effect::Toll(toll)),
                    None => self.degraded(),
                };
            }
        };
        counters.note_store(mark, grant.is_ok(), means.now);
        let Ok(grant) = grant else { return self.degraded() };
        let (reading, hold) = self.seat(grant, leaving, means.now);
        self.decide(&reading, hold)
    }

    /// What becomes of a request while the store is away.
    fn degraded<'a>(&self) -> Verdict<'a> {
        if self.quota.may_degrade {
            return Verdict::default();
        }
        let what = self.plugin.trim_start_matches("limit-");
        let answer = Answer {
            status: Problem::LimitUnknown.status(),
            headers: vec![("content-type".into(), PLAIN.to_owned())],
            body: format!("{}\n", json!({"error_msg": format!("failed to limit {what}")})),
        };
        Verdict::Answers(answer, Some(Problem::LimitUnknown))
    }

    fn passage<'a>(&self, reading: &Reading) -> Passage<'a> {
        let mut response = Edits::default();
        self.quota_headers(reading, |name, value| response.replace(name, value));
        Passage { response, ..Passage::default() }
    }

    /// The answer to a request that may not pass.
    fn refuse<'a>(&self, reading: &Reading) -> Verdict<'a> {
        let status = self.quota.status;
        let mut answer = match &self.quota.message {
            Some(message) => Answer {
                status,
                headers: vec![("content-type".into(), PLAIN.to_owned())],
                body: format!("{}\n", json!({"error_msg": message})),
            },
            None => Problem::Limited.answer_with(status),
        };
        self.quota_headers(reading, |name, value| answer.headers.push((name.into(), value)));
        // When more may pass is known of all but places (RFC 9110, section 10.2.3).
        if reading.reset_ms > 0 {
            answer.headers.push(("retry-after".into(), seconds(reading.reset_ms).to_string()));
        }
        Verdict::Answers(answer, Some(Problem::Limited))
    }

    /// What tells how much more may pass.
    fn quota_headers(&self, reading: &Reading, mut tell: impl FnMut(&'static str, String)) {
        let Bound::Count(count) = &self.quota.bound else { return };
        if self.quota.shows_quota {
            tell("x-ratelimit-limit", count.count().to_string());
            tell("x-ratelimit-remaining", reading.remaining.to_string());
            tell("x-ratelimit-reset", seconds(reading.reset_ms).to_string());
        }
    }
}
