//! What was counted, by names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gather::Gather;
use crate::meter::{LaneCounts, less};
use crate::snapshot::{Route, Snapshot};
use crate::split::Placed;
use crate::time::Timestamp;

/// A branch by names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The id of the route.
    pub route: String,
    /// Where the plugin is from, if that is not the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where the rule stands in its plugin; nothing for the route's own upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// The name of the branch; nothing for requests that ended before one was picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

impl Place {
    /// That of a branch of a route, or of the route by itself.
    pub(crate) fn of(route: &Route, placed: Option<&Placed<'_>>) -> Self {
        Self {
            route: route.id.to_string(),
            from: placed.and_then(Placed::holder).map(str::to_owned),
            rule: placed.and_then(|placed| placed.rule.number()),
            branch: placed.map(|placed| placed.branch.name.to_string()),
        }
    }
}

/// What was counted, of all branches that requests came to. It can be added up, sent and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// How many requests there were.
    pub requests: u64,
    /// What was counted of each branch.
    #[serde(with = "pairs")]
    pub lanes: BTreeMap<Place, LaneCounts>,
    /// How often Splitway answered by itself, by the token of the reason.
    pub problems: BTreeMap<String, u64>,
}

impl Totals {
    /// What was counted so far where this snapshot serves.
    pub fn of_snapshot(snapshot: &Snapshot) -> Self {
        let meters = snapshot.meters();
        let mut lanes = BTreeMap::new();
        for (number, counts) in meters.lane_counts() {
            if let Some((route, placed)) = snapshot.at_lane(number) {
                lanes.insert(Place::of(route, placed.as_ref()), counts);
            }
        }
        let problems = meters.problems().map(|(token, count)| (token.to_owned(), count));
        Self {
            since_ms: meters.since().map(Timestamp::as_millis),
            requests: meters.requests(),
            lanes,
            problems: problems.gather(),
        }
    }

    /// Adds what somebody else counted.
    pub fn add(&mut self, other: &Self) {
        self.since_ms = match (self.since_ms, other.since_ms) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        self.requests = self.requests.saturating_add(other.requests);
        for (place, counts) in &other.lanes {
            match self.lanes.get_mut(place) {
                Some(own) => own.add(counts),
                None => drop(self.lanes.insert(place.clone(), counts.clone())),
            }
        }
        for (token, count) in &other.problems {
            let own = self.problems.entry(token.clone()).or_default();
            *own = own.saturating_add(*count);
        }
    }

    /// What came since `earlier`, to be added where that was added already.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let more = |(place, counts): (&Place, &LaneCounts)| {
            let counts = match earlier.lanes.get(place) {
                Some(earlier) => counts.since(earlier),
                None => counts.clone(),
            };
            (!counts.is_empty()).then(|| (place.clone(), counts))
        };
        Self {
            since_ms: self.since_ms,
            requests: self.requests.saturating_sub(earlier.requests),
            lanes: self.lanes.iter().filter_map(more).gather(),
            problems: less(&self.problems, &earlier.problems),
        }
    }

    /// Forgets what the configuration does not name any more, so that it does not grow with all that
    /// there ever was.
    pub fn retain(&mut self, snapshot: &Snapshot) {
        let routes: BTreeMap<&str, &Route> =
            snapshot.routes().iter().map(|route| (&*route.id, route)).gather();
        let mut known: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
        self.lanes.retain(|place, _| {
            let Some((id, route)) = routes.get_key_value(&*place.route) else { return false };
            let placed = || route.split.placed().map(|(_, placed)| Place::of(route, Some(&placed)));
            place.branch.is_none()
                || known
                    .entry(id)
                    .or_insert_with(|| {
                        let mut places: Vec<Place> = placed().collect();
                        places.sort();
                        places
                    })
                    .binary_search(place)
                    .is_ok()
        });
    }

    /// Whether something was counted of a route.
    pub(super) fn knows(&self, route: &str) -> bool {
        let first = Place { route: route.to_owned(), from: None, rule: None, branch: None };
        self.lanes.range(first..).next().is_some_and(|(place, _)| place.route == route)
    }

    /// What was counted of a branch.
    pub(super) fn of(&self, route: &Route, placed: &Placed<'_>) -> Option<&LaneCounts> {
        self.lanes.get(&Place::of(route, Some(placed)))
    }
}

/// A map whose keys are no strings, as JSON can have it.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Gather as _, LaneCounts, Place};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Place, LaneCounts>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Place, LaneCounts>, D::Error> {
        Ok(Vec::<(Place, LaneCounts)>::deserialize(deserializer)?.into_iter().gather())
    }
}
