//! Retries: the member `retry` of a rule (GEP-1731) as what an upstream says.

use serde_json::{Map, Value, json};
use splitway_core::fault::At;

use super::duration::{parse, seconds};
use super::read::{Findings, list, member, members};

/// The statuses that can be failures.
const STATUSES: std::ops::RangeInclusive<u64> = 400..=599;

/// The longest wait where a document does not say, in seconds.
const LONGEST: u64 = 1;

/// The members of an upstream for the `retry` of a rule.
pub(super) fn read(value: &Value, at: At<'_>, findings: &mut Findings) -> Map<String, Value> {
    let mut upstream = Map::new();
    let known = ["attempts", "codes", "backoff"];
    let Some(map) = members(value, &known, at, findings) else { return upstream };
    let attempts = map.get("attempts").filter(|attempts| !attempts.is_null());
    let count = attempts.map_or(Some(1), Value::as_u64).and_then(|count| u32::try_from(count).ok());
    match count {
        Some(count) => drop(upstream.insert("retries".to_owned(), count.into())),
        None => findings.obstacle(at.key("attempts"), "expected an integer from 0"),
    }
    if attempts.is_none() {
        findings.note(at, "without `attempts` there is one more");
    }
    // What never brought a response is tried again whatever the codes are.
    let mut when: Vec<Value> = ["connect", "timeout", "reset"].map(Value::from).into();
    for (index, code) in list(map, "codes", at, findings).iter().enumerate() {
        match code.as_u64().filter(|code| STATUSES.contains(code)) {
            Some(code) => when.push(code.into()),
            None => findings.lose(
                at.key("codes").index(index),
                "left out: only statuses from 400 to 599 are failures",
            ),
        }
    }
    let mut retry = Map::from_iter([("when".to_owned(), Value::from(when))]);
    if let Some(text) = member(map, "backoff", at, findings) {
        let at = at.key("backoff");
        match parse(text) {
            Some(base) => {
                let max = base.max(std::time::Duration::from_secs(LONGEST));
                let backoff = json!({"base": seconds(base), "max": seconds(max)});
                retry.insert("backoff".to_owned(), backoff);
                findings.note(at, "a bound that doubles: each wait is a random time below it");
            }
            None => findings.obstacle(at, "expected a duration such as 10s, 1m30s or 500ms"),
        }
    }
    upstream.insert("retry".to_owned(), retry.into());
    upstream
}
