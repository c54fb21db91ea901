//! What goes on when a snapshot serves after another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Route, Snapshot};
use crate::breaker::ApiBreaker;
use crate::gather::Gather as _;
use crate::meter::{LaneNumber, Way};
use crate::split::{self, Placed};

impl Snapshot {
    /// This snapshot, to serve after `earlier`: the walks of splits that did not change go on, so that
    /// shares stay exact whatever else is changed, breakers keep what they have counted, and what is known
    /// of nodes that are still there stays known.
    #[must_use]
    pub fn following(mut self, earlier: &Self) -> Self {
        // Before the branches that name them: one that now names another has nothing to hand over.
        for (id, upstream) in &self.upstreams {
            upstream.follow(earlier.upstreams.get(id).map(|earlier| &**earlier));
        }
        let by_id: BTreeMap<&str, &Route> =
            earlier.routes.iter().map(|route| (&*route.id, route)).gather();
        let splits = self.routes.iter_mut().map(|route| {
            let before = by_id.get(&*route.id);
            if let Some(before) = before {
                ApiBreaker::follow_all(&mut route.breakers, &before.breakers);
            }
            (&mut route.split, before.map(|earlier| &earlier.split))
        });
        split::follow(splits, earlier.routes.iter().map(|route| &route.split));
        self.follow_meters(earlier, &by_id);
        self.counters = Arc::clone(&earlier.counters);
        self.consumers.follow(&earlier.consumers);
        self
    }

    /// Goes on counting what is counted by the same names.
    fn follow_meters(&mut self, earlier: &Self, earlier_by_id: &BTreeMap<&str, &Route>) {
        let known = |route: &&Route| earlier_by_id.contains_key(&*route.id);
        let by_id: BTreeMap<&str, &Route> =
            self.routes.iter().filter(known).map(|route| (&*route.id, route)).gather();
        let lane = |before: LaneNumber| {
            let (route, place) = earlier.at_lane(before)?;
            let now = by_id.get(&*route.id)?;
            match place {
                None => Some(now.lane),
                Some(place) => Some(now.lane + 1 + now.split.lane_like(&place)?),
            }
        };
        let (routes, consumers) = (&self.routes, &self.consumers);
        let way = |before: LaneNumber, now: LaneNumber, way: Way| {
            let consumer = match way.consumer {
                Some(number) => Some(consumers.number(earlier.consumer_name(number)?)?),
                None => None,
            };
            let Some(node) = way.node else { return Some(Way { node: None, consumer }) };
            let before = earlier.at_lane(before)?.1?.branch.upstream();
            let now = at_lane(routes, now)?.1?.branch.upstream();
            let name = before.nodes().nth(node)?.authority();
            let node = now.nodes().position(|node| node.authority() == name)?;
            Some(Way { node: Some(node), consumer })
        };
        self.meters.follow(&earlier.meters, lane, way);
    }
}

/// The route whose lane this is, or that of one of its branches, and which.
pub(super) fn at_lane(
    routes: &[Route],
    number: LaneNumber,
) -> Option<(&Route, Option<Placed<'_>>)> {
    let behind = routes.partition_point(|route| route.lane <= number);
    let route = routes.get(behind.checked_sub(1)?)?;
    let within = number - route.lane;
    match within.checked_sub(1) {
        None => Some((route, None)),
        Some(branch) => Some((route, Some(route.split.at_lane(branch)?))),
    }
}
