//! Whether a proxy does what it is measured for: answers, rewrites and divides.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::case::{Case, Load};
use crate::client::{Answer, Client, request};
use crate::cores::Cores;
use crate::h2load::Length;
use crate::lane::{Kind, Running};
use crate::origin::LARGE;
use crate::setup::{Target, World, key, tenant};
use crate::{certificates, events, h2load, idle, wrk};

/// How many requests are looked at: a multiple of all numbers of branches.
const REQUESTS: usize = 100;

/// Tries each proxy of a case, once and with few requests; `load` has wrk run, too, for a second each.
pub(crate) fn case(case: &Case, world: &World, cores: Cores, load: bool) -> io::Result<()> {
    for lane in &case.lanes {
        if matches!(case.load, Load::Idle) {
            idle::measure(lane, world, cores, REQUESTS)?;
            continue;
        }
        let running = lane.start(world, cores)?;
        check(case, &running, world)?;
        match &case.load {
            Load::Requests(requests) if load => drop(wrk::load(requests, &running, world, 1)?),
            Load::Http2(requests) => {
                h2load::load(requests, &running, world, Length::Requests(REQUESTS))?;
            }
            Load::Streams => drop(events::load(&running, Duration::ZERO)?),
            Load::Requests(_) | Load::Idle => {}
        }
    }
    Ok(())
}

/// Asks a proxy for what the case asks for, and looks at each answer.
pub(crate) fn check(case: &Case, running: &Running<'_>, world: &World) -> io::Result<()> {
    let failed =
        |what: String| Err(io::Error::other(format!("{}: {}: {what}", case.id, running.lane.name)));
    let (target, body) = match &case.load {
        Load::Requests(requests) | Load::Http2(requests) => (requests.target, requests.body),
        Load::Streams | Load::Idle => (Target::Chat, None),
    };
    let body = body.map_or(wrk::BODY.as_bytes().to_vec(), |bytes| vec![b'x'; bytes]);
    let setup = &running.lane.setup;
    let tls = setup.client_tls.then(|| certificates::client(&world.folder)).transpose()?;
    let mut client = Client::connect(running.at, tls.as_ref())?;
    let path = if setup.routes > 0 { tenant(setup.routes - 1) } else { running.path(target) };

    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..REQUESTS {
        let fields = fields(running, number);
        let answer = client.ask(&request(&path, &fields, &body))?;
        if let Some(fault) = fault(&answer, target) {
            return failed(format!("{path}: {fault}"));
        }
        *counts.entry(answer.version).or_default() += 1;
    }
    if let Some(fault) = division(running, &counts) {
        return failed(format!("{fault}: {counts:?}"));
    }
    if setup.consumers > 0 && client.ask(&request(&path, "", &body))?.status != 401 {
        return failed("lets in who shows no key".into());
    }
    Ok(())
}

/// What clients send: a user twice in a row, or a key.
fn fields(running: &Running<'_>, number: usize) -> String {
    let setup = &running.lane.setup;
    match setup.consumers {
        0 if setup.sticky => format!("x-user: user-{}\r\n", number / 2),
        0 => String::new(),
        consumers => format!("apikey: {}\r\n", key(number * 7919 % consumers)),
    }
}

/// What is wrong with an answer.
fn fault(answer: &Answer, target: Target) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.body);
    let version = answer.version.strip_prefix('v').unwrap_or_default();
    let is_right = match target {
        Target::Large => answer.body.len() == LARGE && text.bytes().all(|byte| byte == b'y'),
        Target::Chat | Target::Events => {
            text.contains(&format!("\"model\":\"m-{version:0>2}\"")) && text.ends_with("]}")
        }
    };
    (answer.status != 200 || !is_right).then(|| {
        let bytes = answer.body.len();
        format!("{} from version {:?} with {bytes} bytes", answer.status, answer.version)
    })
}

/// What is wrong with who was asked how often.
fn division(running: &Running<'_>, counts: &BTreeMap<String, usize>) -> Option<&'static str> {
    let setup = &running.lane.setup;
    if !running.rewrites() {
        return (counts.len() != 1).then_some("it rewrites, and should not");
    }
    // Draws of a peer may leave out one of many versions; that none of 100 goes to one of two has no chance.
    let all_are_asked = counts.len() == setup.branches;
    if setup.sticky {
        let in_pairs = counts.values().all(|count| count % 2 == 0);
        return (!in_pairs || !all_are_asked).then_some("users do not stay where they are");
    }
    if running.lane.kind == Kind::Splitway {
        let share = REQUESTS / setup.branches;
        let is_exact = all_are_asked && counts.values().all(|count| *count == share);
        return (!is_exact).then_some("the split is not exact");
    }
    let few = counts.len() < 2 || (setup.branches == 2 && !all_are_asked);
    few.then_some("it does not divide")
}
