//! All that was counted, in rows of names and numbers: for those who write it as metrics.

use crate::guard::GUARDS;
use crate::meter::{FlowCounts, LaneCounts, LaneNumber, Way};
use crate::node::Node;
use crate::snapshot::{Route, Snapshot};
use crate::split::Placed;

use super::Place;

/// Stands in place of a branch for what is counted together because there was no place for it.
pub const OTHER_BRANCH: &str = "other";

/// All that was counted.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// By branch.
    pub lanes: Vec<LaneRow>,
    /// By branch, node and consumer.
    pub flows: Vec<FlowRow>,
}

/// What was counted of a branch, of a route by itself, or of what no route takes, which has no names.
#[derive(Clone, Debug, Default)]
pub struct LaneRow {
    /// Which.
    pub place: Place,
    /// What was counted.
    pub counts: LaneCounts,
}

/// What was counted of a node and a consumer in one of them. What there is not has no name.
#[derive(Clone, Debug, Default)]
pub struct FlowRow {
    /// The id of the route.
    pub route: String,
    /// The path that the route takes, if it takes one only.
    pub uri: String,
    /// The host, likewise.
    pub host: String,
    /// The id of the service.
    pub service: String,
    /// The name of the branch.
    pub branch: String,
    /// The host of the node.
    pub node: String,
    /// The name of the consumer.
    pub consumer: String,
    /// What was counted.
    pub counts: FlowCounts,
}

/// The names of the guards that count, by rank.
pub fn guard_name(rank: usize) -> Option<&'static str> {
    GUARDS.get(rank).copied()
}

/// How many retries every upstream can bear at once and how many of them are left, by its name.
pub fn budgets(snapshot: &Snapshot) -> Vec<(String, u64, u64)> {
    let budget = |(name, upstream): (
        std::borrow::Cow<'_, str>,
        &std::sync::Arc<crate::balance::Upstream>,
    )| {
        let (left, most) = upstream.budget().left();
        (name.into_owned(), left, most)
    };
    snapshot.upstreams().filter(|(_, upstream)| upstream.retries() > 0).map(budget).collect()
}

/// What was counted where this snapshot serves.
pub fn census(snapshot: &Snapshot) -> Census {
    let meters = snapshot.meters();
    let lane = |(number, counts): (LaneNumber, LaneCounts)| {
        let place = snapshot.at_lane(number);
        let place = place.map(|(route, placed)| Place::of(route, placed.as_ref()));
        LaneRow { place: place.unwrap_or_default(), counts }
    };
    let mut lanes: Vec<LaneRow> = meters.lane_counts().into_iter().map(lane).collect();
    let flows = meters.flow_counts().into_iter();
    let mut flows: Vec<FlowRow> = flows
        .map(|(number, way, counts)| FlowRow { counts, ..flow(snapshot, number, way) })
        .collect();
    let (lane, flow) = meters.rest();
    let branch = OTHER_BRANCH.to_owned();
    if !lane.is_empty() {
        let place = Place { branch: Some(branch.clone()), ..Place::default() };
        lanes.push(LaneRow { place, counts: lane });
    }
    if !flow.statuses.is_empty() {
        flows.push(FlowRow { branch, counts: flow, ..FlowRow::default() });
    }
    Census { lanes, flows }
}

/// The names of a row.
fn flow(snapshot: &Snapshot, number: LaneNumber, way: Way) -> FlowRow {
    let Some((route, placed)) = snapshot.at_lane(number) else { return FlowRow::default() };
    let only = |list: &[String]| match list {
        [only] => only.clone(),
        [] | [_, ..] => String::new(),
    };
    let conditions = snapshot.conditions_of(route);
    let node = || node(placed.as_ref()?, way.node?).map(|node| node.host().to_owned());
    let consumer = way.consumer.and_then(|number| snapshot.consumer_name(number));
    FlowRow {
        route: route.id.to_string(),
        uri: conditions.map_or_else(String::new, |it| only(&it.uris)),
        host: conditions.map_or_else(String::new, |it| only(&it.hosts)),
        service: service(route),
        branch: placed.as_ref().map_or_else(String::new, |it| it.branch.name.to_string()),
        node: node().unwrap_or_default(),
        consumer: consumer.unwrap_or_default().to_owned(),
        counts: FlowCounts::default(),
    }
}

fn node<'s>(placed: &Placed<'s>, position: usize) -> Option<&'s Node> {
    placed.branch.upstream().nodes().nth(position)
}

fn service(route: &Route) -> String {
    route.service().map(|(id, _)| id.to_owned()).unwrap_or_default()
}
