//! Many clients at once, each of which judges every answer it gets.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use splitway_tests::at_end::AtEnd;
use splitway_tests::chance::Chance;
use splitway_tests::http::Head;

use crate::client::{Client, Ended};
use crate::kind::Kind;
use crate::pulse::{Moment, Pulse};

/// What clients count.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    /// Went on to another node of the branch.
    pub(crate) retried: u64,
    /// Went on to another branch.
    pub(crate) failed_over: u64,
    /// Failed while an origin was killed that may have executed them.
    pub(crate) given_up: u64,
    /// Lost the rest of an answer with its origin.
    pub(crate) cut: u64,
    pub(crate) connections: u64,
    /// How long each took, in microseconds, with its connection if that is new.
    pub(crate) micros: Vec<u32>,
    /// The one that took longest.
    pub(crate) slowest: Option<(u32, Kind, u64)>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.retried += other.retried;
        self.failed_over += other.failed_over;
        self.given_up += other.given_up;
        self.cut += other.cut;
        self.connections += other.connections;
        self.micros.extend(other.micros);
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// Has so many clients ask for as long as `disturb` takes.
pub(crate) fn under_load(
    pulse: &Pulse,
    clients_count: usize,
    chance: &mut Chance,
    disturb: impl FnOnce(&mut Chance),
) -> Tally {
    pulse.ends.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        let end = AtEnd(|| pulse.ends.store(true, Ordering::SeqCst));
        let clients: Vec<_> = (0..clients_count)
            .map(|_| {
                let own = Chance::new(chance.draw());
                scope.spawn(|| ask(pulse, own))
            })
            .collect();
        disturb(chance);
        drop(end);
        let mut tally = Tally::default();
        clients.into_iter().for_each(|client| tally.add(client.join().expect("no client panics")));
        tally
    })
}

fn ask(pulse: &Pulse, mut chance: Chance) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    while pulse.goes_on() {
        let began = Instant::now();
        let Some(mut client) = kept.take().or_else(|| open(pulse, &mut tally)) else { continue };
        let (kind, number) = (Kind::draw(&mut chance), pulse.ledger.draw());
        let moment = pulse.now();
        let (ended, goes_on) = client.ask(kind, number);
        let micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        tally.requests += 1;
        tally.micros.push(micros);
        tally.slowest = tally.slowest.max(Some((micros, kind, number)));
        if let Err(what) = judge(pulse, &moment, (kind, number), ended, &mut tally) {
            pulse.ledger.wrong(format!("#{number} {kind:?} after {} ms: {what}", micros / 1000));
        }
        match goes_on {
            true if !chance.one_in(50) => kept = Some(client),
            true => end(pulse, client),
            false => {}
        }
    }
    kept.into_iter().for_each(|client| end(pulse, client));
    tally
}

/// Ends a connection, on which nothing more may come.
fn end(pulse: &Pulse, client: Client) {
    if let Some(head) = client.end() {
        pulse.ledger.wrong(format!("answered and not asked for: {}", said(&head)));
    }
}

fn open(pulse: &Pulse, tally: &mut Tally) -> Option<Client> {
    tally.connections += 1;
    let opened = Client::open(pulse);
    opened.inspect_err(|error| pulse.ledger.wrong(format!("no connection: {error}"))).ok()
}

/// Whether that is what had to come of a request, and if not, what is wrong.
fn judge(
    pulse: &Pulse,
    moment: &Moment,
    (kind, number): (Kind, u64),
    ended: Ended,
    tally: &mut Tally,
) -> Result<(), String> {
    let (head, body) = match ended {
        Ended::Closed => return Ok(()),
        Ended::Lost(error) => return Err(format!("no answer: {error}")),
        Ended::Cut(..) if kind.may_be_cut() && pulse.killed_since(moment) => {
            tally.cut += 1;
            return Ok(());
        }
        Ended::Cut(head, body, error) => {
            return Err(format!("{} bytes and no more: {error}; {}", body.len(), said(&head)));
        }
        Ended::Whole(head, body) => (head, body),
    };
    let status = head.words().get(1).cloned().unwrap_or_default();
    if status != "200" {
        // Of a large body nothing is kept that could be sent to another origin.
        let may_fail = (kind.is_once() && pulse.killed_since(moment))
            || (kind == Kind::LargePost && pulse.dead_since(moment))
            || (is_empty_again(kind, &head) && pulse.killed_since(moment));
        if status == "502" && may_fail {
            tally.given_up += 1;
            return Ok(());
        }
        return Err(format!("{} {}", said(&head), String::from_utf8_lossy(&body)));
    }
    if kind == Kind::Stream && pulse.killed_since(moment) && is_farewell(&head, &body, number) {
        tally.cut += 1;
        return Ok(());
    }
    belongs(&head, &body, kind, number)?;
    if let Some(revision) = pulse.revision_since(moment)
        && head.headers.one("x-splitway-revision") != Some(revision.clone())
    {
        return Err(format!("not by revision {revision}: {}", said(&head)));
    }
    match pulse.ledger.executions(number) {
        0 => return Err("answered 200 by nobody".to_owned()),
        1 => {}
        times if kind.is_once() => return Err(format!("executed {times} times")),
        _ => {}
    }
    match (head.headers.has("x-splitway-picked"), head.headers.has("x-splitway-attempts")) {
        (true, _) => tally.failed_over += 1,
        (false, true) => tally.retried += 1,
        (false, false) => {}
    }
    Ok(())
}

/// Whether it is the answer to this very request, of an origin of the branch that it names.
fn belongs(head: &Head, body: &[u8], kind: Kind, number: u64) -> Result<(), String> {
    let header = |name: &str| head.headers.one(name).unwrap_or_default();
    let (origin, branch) = (header("x-origin"), header("x-splitway-branch"));
    let is_whole = body == kind.answer(number, &origin).concat();
    let is_own = header("x-number") == number.to_string();
    let is_of_branch = !branch.is_empty() && origin.starts_with(&branch);
    if is_whole && is_own && is_of_branch {
        return Ok(());
    }
    let begin = String::from_utf8_lossy(&body[..body.len().min(80)]);
    Err(format!("not its answer: {}; {} bytes: {begin}", said(head), body.len()))
}

/// Whether it is a stream that one branch after the other broke off before its first event, for which no
/// branch asks another node of its own.
fn is_empty_again(kind: Kind, head: &Head) -> bool {
    let header = |name: &str| head.headers.one(name).unwrap_or_default();
    kind == Kind::Stream
        && head.headers.has("x-splitway-attempts")
        && header("proxy-status").ends_with("error=connection_terminated")
}

/// Whether it is the begin of a stream, behind which the client is told that it broke off.
fn is_farewell(head: &Head, body: &[u8], number: u64) -> bool {
    let whole = Kind::Stream.answer(number, &head.headers.one("x-origin").unwrap_or_default());
    let body = String::from_utf8_lossy(body);
    body.split_once("event: error\n").is_some_and(|(begin, error)| {
        whole.concat().starts_with(begin.trim_end().as_bytes())
            && error.contains("connection_terminated")
    })
}

fn said(head: &Head) -> String {
    let lines = head.headers.0.iter().map(|(name, value)| {
        format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    });
    let start = String::from_utf8_lossy(&head.start).into_owned();
    [start].into_iter().chain(lines).collect::<Vec<_>>().join(" | ")
}
