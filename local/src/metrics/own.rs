//! Our own families: what APISIX has no words for.
//!
//! The revision of the configuration is a label of one series only, `splitway_configuration_info`. As a
//! label of counters each change would begin all of them anew, under names that are never used again: the
//! number of series would grow with every change, rates would break off at each, and shares over a longer
//! time would have to be put together. A query joins it: `* on() group_left(revision)
//! splitway_configuration_info`.

use std::fmt::Error;

use splitway_core::meter::OTHER;
use splitway_core::snapshot::Snapshot;
use splitway_core::status::{
    BreakerStatus, Guarded, LaneRow, Place, Scope, Totals, breakers, budgets, guard_name, status,
};
use splitway_core::time::Timestamp;

use super::Scrape;
use super::lines::{Labels, Lines, Unit, label};

/// Writes all of them.
pub(super) fn write(scrape: &Scrape, lines: &mut Lines<'_>) -> Result<(), Error> {
    requests(&scrape.census.lanes, lines)?;
    attempts(&scrape.census.lanes, lines)?;
    guards(&scrape.census.lanes, lines)?;
    if let Some(snapshot) = &scrape.snapshot {
        shares(snapshot, scrape.now, lines)?;
        guarded(snapshot, scrape.now, lines)?;
        counted(snapshot, lines)?;
    }
    configuration(scrape, lines)
}

/// Which branch.
fn of_place(place: &Place) -> Labels {
    let rule = place.rule.map(|rule| rule.to_string()).unwrap_or_default();
    vec![
        label("route", &place.route),
        ("rule", rule),
        label("branch", place.branch.as_deref().unwrap_or_default()),
    ]
}

fn with(mut labels: Labels, more: (&'static str, String)) -> Labels {
    labels.push(more);
    labels
}

fn requests(lanes: &[LaneRow], lines: &mut Lines<'_>) -> Result<(), Error> {
    let statuses = lanes.iter().flat_map(|lane| {
        lane.counts.statuses.iter().map(|(status, count)| {
            let code = if *status == OTHER { "other".to_owned() } else { status.to_string() };
            (with(of_place(&lane.place), ("code", code)), *count)
        })
    });
    lines.counters(
        "splitway_requests",
        "Requests that were answered, by the branch that served them.",
        statuses,
    )?;
    let times = lanes.iter().map(|lane| (of_place(&lane.place), lane.counts.until_head.clone()));
    lines.times(
        "splitway_time_to_head_seconds",
        "From the head of the request to the head of the response.",
        Unit::Seconds,
        times,
    )
}

fn attempts(lanes: &[LaneRow], lines: &mut Lines<'_>) -> Result<(), Error> {
    let picks = lanes.iter().flat_map(|lane| {
        lane.counts.picks.iter().map(|(reason, count)| {
            (with(of_place(&lane.place), ("reason", reason.as_str().to_owned())), *count)
        })
    });
    lines.counters("splitway_picks", "Requests that a branch got, by why it did.", picks)?;
    // Routes by themselves and what no route takes have none.
    let of_branches = || lanes.iter().filter(|lane| lane.place.branch.is_some());
    let each = |count: fn(&LaneRow) -> u64| {
        of_branches().map(move |lane| (of_place(&lane.place), count(lane)))
    };
    lines.counters("splitway_attempts", "Attempts at nodes.", each(|lane| lane.counts.attempts))?;
    lines.counters(
        "splitway_retries",
        "Attempts after the first at the same branch.",
        each(|lane| lane.counts.retries),
    )?;
    lines.counters(
        "splitway_failovers",
        "Requests that were picked for a branch and went to another, because it failed.",
        each(|lane| lane.counts.left),
    )
}

fn guards(lanes: &[LaneRow], lines: &mut Lines<'_>) -> Result<(), Error> {
    let rows = lanes.iter().flat_map(|lane| {
        lane.counts.guards.iter().flat_map(|(rank, (passed, refused))| {
            let outcome = |outcome: &str, count: u64| {
                let labels = vec![
                    label("route", &lane.place.route),
                    ("plugin", guard_name(*rank).unwrap_or_default().to_owned()),
                    ("outcome", outcome.to_owned()),
                ];
                (labels, count)
            };
            [outcome("passed", *passed), outcome("refused", *refused)]
        })
    });
    lines.counters(
        "splitway_guard_decisions",
        "Requests that a plugin refused, and that a limit let pass.",
        rows,
    )
}

/// What is meant and what was seen, since it is counted. Shares of the last minutes are a query.
fn shares(snapshot: &Snapshot, now: Timestamp, lines: &mut Lines<'_>) -> Result<(), Error> {
    let totals = Totals::of_snapshot(snapshot);
    let status = status(snapshot, &totals, Scope::Process, now);
    let (mut configured, mut observed, mut phases) = (Vec::new(), Vec::new(), Vec::new());
    for route in status.routes {
        for rule in route.rules {
            for branch in rule.branches {
                let labels = of_place(&Place {
                    route: route.id.clone(),
                    from: None,
                    rule: rule.rule,
                    branch: Some(branch.name),
                });
                configured.push((labels.clone(), branch.target));
                observed.extend(branch.share.map(|share| (labels.clone(), share)));
                phases.extend(states(&labels, branch.breaker));
            }
        }
    }
    for rows in [&mut configured, &mut observed] {
        unique(rows);
    }
    unique(&mut phases);
    lines.numbers(
        "splitway_share_configured",
        "The share of the requests of its rule that a branch is to get.",
        configured.into_iter(),
    )?;
    lines.numbers(
        "splitway_share_observed",
        "The share of the requests of its rule that a branch got by weight, since the start.",
        observed.into_iter(),
    )?;
    lines.gauges(
        "splitway_branch_breaker",
        "What the breaker of a branch lets through: 1 for the state that it is in.",
        phases.into_iter(),
    )
}

/// Leaves one row of each labels: rules of several plugins may have the same.
fn unique<T>(rows: &mut Vec<(Labels, T)>) {
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    rows.dedup_by(|(one, _), (other, _)| one == other);
}

/// One row for each state that a breaker can be in.
fn states(labels: &Labels, now: BreakerStatus) -> Vec<(Labels, u64)> {
    if now == BreakerStatus::None {
        return Vec::new();
    }
    let states = [BreakerStatus::Closed, BreakerStatus::Open, BreakerStatus::HalfOpen];
    let row = |state: BreakerStatus| {
        (with(labels.clone(), ("state", state.as_str().to_owned())), u64::from(state == now))
    };
    states.map(row).into()
}

/// The breakers of nodes and of routes, and what is left for retries.
fn guarded(snapshot: &Snapshot, now: Timestamp, lines: &mut Lines<'_>) -> Result<(), Error> {
    let (mut nodes, mut routes) = (Vec::new(), Vec::new());
    for (guarded, phase) in breakers(snapshot, now) {
        let phase = BreakerStatus::from(Some(phase));
        match guarded {
            Guarded::Node { upstream, node } => {
                let labels = vec![label("upstream", &upstream), label("node", &node)];
                nodes.extend(states(&labels, phase));
            }
            Guarded::Route { route } => {
                let is_open = u64::from(phase != BreakerStatus::Closed);
                routes.push((vec![label("route", &route)], is_open));
            }
            Guarded::Branch { .. } => {}
        }
    }
    unique(&mut nodes);
    lines.gauges(
        "splitway_node_breaker",
        "What the breaker of a node lets through: 1 for the state that it is in.",
        nodes.into_iter(),
    )?;
    lines.gauges(
        "splitway_api_breaker_open",
        "Whether the plugin api-breaker of a route answers in place of its upstream.",
        routes.into_iter(),
    )?;
    let budgets = budgets(snapshot);
    let each = |value: fn(&(String, u64, u64)) -> u64| {
        budgets.iter().map(move |row| (vec![label("upstream", &row.0)], value(row)))
    };
    lines.gauges(
        "splitway_retry_budget_left",
        "How many retries an upstream could bear at once now.",
        each(|row| row.1),
    )?;
    lines.gauges(
        "splitway_retry_budget_size",
        "How many retries an upstream can bear at once at most.",
        each(|row| row.2),
    )
}

/// What is counted apart from routes.
fn counted(snapshot: &Snapshot, lines: &mut Lines<'_>) -> Result<(), Error> {
    let meters = snapshot.meters();
    let problems = meters.problems().map(|(token, count)| (vec![label("problem", token)], count));
    lines.counters(
        "splitway_problems",
        "Requests that were answered here in place of an upstream, by why (RFC 9209).",
        problems,
    )?;
    let (branches, flows) = meters.places();
    let places = [("branch", branches), ("node", flows)];
    let places = places.map(|(kind, count)| {
        (vec![("kind", kind.to_owned())], u64::try_from(count).unwrap_or(u64::MAX))
    });
    lines.gauges("splitway_series", "What is counted apart.", places.into_iter())?;
    lines.counters(
        "splitway_series_overflow",
        "What had to be counted together because too much is counted apart.",
        [(Labels::new(), meters.overflow())].into_iter(),
    )
}

fn configuration(scrape: &Scrape, lines: &mut Lines<'_>) -> Result<(), Error> {
    if let Some(snapshot) = &scrape.snapshot {
        lines.info(
            "splitway_configuration",
            "The configuration that serves.",
            &vec![label("revision", snapshot.revision().as_str())],
        )?;
        let age = scrape.now.since(scrape.since).as_secs_f64();
        lines.numbers(
            "splitway_configuration_age_seconds",
            "For how long it has served.",
            [(Labels::new(), age)].into_iter(),
        )?;
    }
    lines.counters(
        "splitway_configuration_failures",
        "How often a configuration was there that could not be served by, or none could be read.",
        [(Labels::new(), scrape.failures)].into_iter(),
    )?;
    lines.counters(
        "splitway_log_lines_dropped",
        "Lines that were not written because whoever reads them is too slow.",
        [(Labels::new(), scrape.dropped)].into_iter(),
    )
}
