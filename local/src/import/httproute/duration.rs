//! Timeouts: the durations of the Gateway API (GEP-2257) as seconds.

use std::time::Duration;

use serde_json::{Value, json};
use splitway_core::fault::At;

use super::read::{Findings, member, members};

/// The most that one of the three phases of a timeout may have.
const PHASE_MAX: Duration = Duration::from_secs(86_400);

/// The duration that a text like `1m30s` or `500ms` is: up to four numbers with units.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| (1..=5).contains(end))?;
        let (digits, tail) = rest.split_at(end);
        let number: u64 = digits.parse().ok()?;
        let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        let (unit, behind) =
            units.iter().find_map(|(unit, ms)| Some((ms, tail.strip_prefix(unit)?)))?;
        total += Duration::from_millis(number * unit);
        rest = behind;
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

/// The timeout of a route for the `timeouts` of a rule: the shorter of both.
pub(super) fn timeout(value: &Value, at: At<'_>, findings: &mut Findings) -> Option<Value> {
    let map = members(value, &["request", "backendRequest"], at, findings)?;
    let mut read = |key: &'static str| {
        let text = member(map, key, at, findings)?;
        let duration = parse(text);
        if duration.is_none() {
            findings.obstacle(at.key(key), "expected a duration such as 10s, 1m30s or 500ms");
        }
        // 0 switches a timeout off, or is the longest there can be.
        Some((key, duration.filter(|duration| !duration.is_zero()).unwrap_or(Duration::MAX)))
    };
    let (request, backend) = (read("request"), read("backendRequest"));
    let (shorter, longer) = match (request, backend) {
        (Some(request), Some(backend)) if request.1 < backend.1 => (request, Some(backend)),
        (request, Some(backend)) => (backend, request),
        (request, None) => (request?, None),
    };
    if let Some((key, _)) = longer {
        findings.note(at.key(key), format!("not taken over: `{}` is not longer", shorter.0));
    }
    findings.note(
        at.key(shorter.0),
        "ends when the head of the response is there, not when its body is",
    );
    // Quarters of milliseconds can be written exactly, and are added up to the whole again.
    let phase = |share: u32| seconds((shorter.1 / 4).saturating_mul(share).min(PHASE_MAX));
    Some(json!({"connect": phase(1), "send": phase(1), "read": phase(2)}))
}

/// How long a request may take with all its attempts, where that is said; no longer than a day.
pub(super) fn of_all_attempts(timeouts: &Value) -> Option<Value> {
    let request = parse(timeouts.get("request")?.as_str()?)?;
    (!request.is_zero()).then(|| seconds(request.min(PHASE_MAX)))
}

/// Seconds, whole ones without a decimal point.
pub(super) fn seconds(duration: Duration) -> Value {
    let seconds = duration.as_secs_f64();
    match format!("{seconds}").parse::<u64>() {
        Ok(whole) => whole.into(),
        Err(_) => seconds.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_gep_2257() {
        for (text, ms) in [
            ("10s", Some(10_000)),
            ("1h2m3s4ms", Some(3_723_004)),
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("99999h", Some(359_996_400_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1.5s", None),
            ("100000s", None),
            ("1s1s1s1s1s", None),
            ("-1s", None),
        ] {
            assert_eq!(parse(text), ms.map(Duration::from_millis), "{text}");
        }
    }
}
