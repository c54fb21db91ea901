//! Random dialogues with the Admin API in memory: whatever is asked, what is kept stays sound.
//!
//! Two coordinators share one storage, as two servers share a cluster; commits fail now and then. Each
//! case has a seed of its own: `FUZZ_SEED` of the failure with `FUZZ_ROUNDS=1` shows it again.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::{Value, json};
use splitway_core::access::{Access, Caller, KeyHash};
use splitway_core::admin::answer;
use splitway_core::coordinator::{Command, Coordinator, Done, Look, Outcome, Refusal};
use splitway_core::document;
use splitway_core::fault::Report;
use splitway_core::ledger::Ledger;
use splitway_core::platform::Control;
use splitway_core::problem::Answer;
use splitway_core::seal::Secret;
use splitway_core::snapshot::{Revision, compile};
use splitway_core::storage::Retention;
use splitway_core::time::Timestamp;
use splitway_tests::chance::{Chance, environment};

use crate::budget::Budget;
use crate::memory::{Failure, Shared};
use crate::requests::{Documents, KEY, KEYS, Request, draw};

/// How many requests make a dialogue.
const STEPS: usize = 60;

/// How much of the past is kept: little, so that some of it is forgotten.
const KEPT: u64 = 12;

/// One server: its coordinator, and the revision it serves by.
struct Server {
    coordinator: RefCell<Coordinator<Shared>>,
    serving: RefCell<String>,
    now: Cell<Timestamp>,
}

impl Server {
    fn start(storage: Shared) -> Self {
        let access = Access::new(KeyHash::of(KEY), Vec::new());
        let retention = Retention { revisions: KEPT, ..Retention::default() };
        let mut report = Report::default();
        let started = Coordinator::start(storage, access, retention, &mut report);
        let (coordinator, snapshot) = started.expect("memory can be read");
        let serving = snapshot.expect("it compiles").revision().to_string();
        let now = Cell::new(Timestamp::default());
        Self { coordinator: RefCell::new(coordinator), serving: RefCell::new(serving), now }
    }

    fn publish(&self, outcome: Outcome) -> Result<Done, Refusal> {
        if let Some(snapshot) = outcome.snapshot {
            self.serving.replace(snapshot.revision().to_string());
        }
        outcome.answer
    }

    fn ask(&self, request: &Request) -> Answer {
        let mut answering = pin!(answer(self, "", request, request.body.clone()));
        match answering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("nothing here waits"),
        }
    }

    /// Takes over what others did.
    fn catch_up(&self) {
        let mut report = Report::default();
        let reloaded = self.coordinator.borrow_mut().reload(&mut report);
        if let Some(snapshot) = reloaded.expect("memory can be read") {
            self.serving.replace(snapshot.revision().to_string());
        }
    }

    fn expire(&self) {
        let outcome = self.coordinator.borrow_mut().expire(self.now.get());
        // A commit may have been told to fail.
        let _ = self.publish(outcome);
    }

    fn ledger(&self) -> Ledger {
        self.coordinator.borrow().ledger().clone()
    }
}

impl Control for Server {
    type Head = Request;
    type Body = Vec<u8>;

    fn secret(&self) -> Option<&Secret> {
        None
    }

    async fn buffer(&self, body: Vec<u8>, limit: usize) -> Option<Vec<u8>> {
        (body.len() <= limit).then_some(body)
    }

    async fn admit(&self, caller: Caller) -> Result<Box<str>, Refusal> {
        self.coordinator.borrow_mut().admit(&caller, self.now.get())
    }

    async fn coordinate(&self, command: Command, by: Box<str>) -> Result<Done, Refusal> {
        let outcome = self.coordinator.borrow_mut().handle(command, &by, self.now.get());
        self.publish(outcome)
    }
}

/// A dialogue, and what is known of it.
struct Case {
    seed: u64,
    storage: Shared,
    servers: [Server; 2],
    /// The document at each revision.
    documents: Documents,
    /// Whether something may have been left that refers to nothing.
    has_dangling: bool,
    told: Vec<String>,
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.told.len().saturating_sub(12);
            eprintln!("FUZZ_SEED={} FUZZ_ROUNDS=1\n{}", self.seed, self.told[last..].join("\n"));
        }
    }
}

impl Case {
    fn new(seed: u64) -> Self {
        let storage = Shared::default();
        let servers = [Server::start(storage.clone()), Server::start(storage.clone())];
        let documents = vec![document::of_ledger(&storage.ledger())];
        Self { seed, storage, servers, documents, has_dangling: false, told: Vec::new() }
    }

    fn step(&mut self, chance: &mut Chance) {
        let number = if chance.one_in(6) { 1 } else { 0 };
        let now = self.servers[0].now.get().plus(Duration::from_millis(chance.draw() % 5_000));
        self.servers.iter().for_each(|server| server.now.set(now));
        if chance.one_in(10) {
            self.expire(number);
        }
        let failure =
            chance.one_in(30).then(|| chance.one_of(&[Failure::Full, Failure::Unavailable]));
        let request = draw(chance, &self.documents);
        self.told.push(format!("server {number}: {request} {failure:?}"));
        let has_trials = ["/config", "/rollback"].iter().any(|it| request.target.contains(it));
        // Others may look, and so try, and not write.
        let is_admin = request.headers[0].1 == KEY;
        let is_trial = has_trials && request.target.contains("dry_run=true");
        if is_trial && is_admin && chance.one_in(2) {
            self.compare_with_trial(number, &request);
        }
        self.storage.fail(failure);
        let before = self.storage.ledger();
        let answer = self.servers[number].ask(&request);
        let has_failed = failure.is_some() && !self.storage.fail(None);
        self.told.push(format!("  {} {:.300}", answer.status, answer.body));
        self.check_answer(&request, &answer, has_failed);
        self.check_change(number, &before, &request, &answer);
        self.check_past(number, chance);
    }

    /// What has come to its time goes, and may leave what referred to it.
    fn expire(&mut self, number: usize) {
        let before = self.storage.ledger();
        self.servers[number].expire();
        self.has_dangling = true;
        let after = self.storage.ledger();
        self.note(&before, &after);
        assert_eq!(
            self.servers[number].ledger().expired(self.servers[number].now.get()).count(),
            0
        );
    }

    /// A trial says what the request does then, and changes nothing.
    fn compare_with_trial(&mut self, number: usize, request: &Request) {
        self.servers[number].catch_up();
        let before = self.storage.ledger();
        let tried = self.servers[number].ask(request);
        assert_eq!(self.storage.ledger(), before, "a trial changed something: {request}");
        let mut real = request.clone();
        real.target = real.target.replace("dry_run=true", "dry_run=false");
        let done = self.servers[number].ask(&real);
        self.has_dangling |= real.target.contains("rollback");
        assert_eq!(tried.status, done.status, "{request}: {} {}", tried.body, done.body);
        if let (Ok(tried), Ok(done)) = (parsed(&tried), parsed(&done)) {
            assert_eq!(tried["changes"], done["changes"], "{request}");
        }
        let after = self.storage.ledger();
        self.note(&before, &after);
    }

    fn check_answer(&self, request: &Request, answer: &Answer, has_failed: bool) {
        assert!(answer.status < 500 || has_failed, "{request}");
        assert!(!has_failed || [503, 507].contains(&answer.status), "{request}");
        for key in [KEY].iter().chain(&KEYS) {
            let is_repeated = answer.body.contains(key);
            assert!(!is_repeated, "a key in an answer to {request}");
            assert!(!self.storage.text().contains(key), "a key is kept: {request}");
        }
        let header = |name| answer.headers.iter().find(|(known, _)| *known == name);
        let content_type = header("content-type").map(|(_, value)| value.as_str());
        if content_type.is_some_and(|it| it.ends_with("json")) && !answer.body.is_empty() {
            let body = parsed(answer).unwrap_or_else(|error| panic!("{error}: {}", answer.body));
            let is_told = body.get("error_msg").or_else(|| body.get("message")).is_some();
            assert!(answer.status < 400 || is_told, "{request}: {}", answer.body);
        }
    }

    /// One step for each change, none for anything else; and what is kept is what is served.
    fn check_change(&mut self, number: usize, before: &Ledger, request: &Request, answer: &Answer) {
        let after = self.storage.ledger();
        self.has_dangling |= request.method == "DELETE" || request.target.contains("rollback");
        let may_change = answer.status < 300 && !["GET", "HEAD"].contains(&&*request.method);
        assert!(may_change || *before == after, "{request} changed something");
        self.note(before, &after);
        let server = &self.servers[number];
        if server.ledger().revision() == after.revision() {
            let (own, kept) = (server.ledger(), &after);
            assert!(own.entries().eq(kept.entries()), "the ledger is not what is kept");
            assert_eq!(own.size(), kept.size());
        } else {
            assert!(answer.status >= 400 || !may_change || after == *before);
        }
        assert_eq!(*server.serving.borrow(), server.ledger().revision().to_string(), "{request}");
        let mut report = Report::default();
        assert!(after.compile(&mut report).is_some(), "{:?}", report.faults);
        if !self.has_dangling {
            let mut resources = after.resources();
            resources.is_tolerant = false;
            compile(&resources, Revision::of_ledger(0), 0, &mut report);
            assert!(report.faults.is_empty(), "{request}: {:?}", report.faults);
        }
    }

    fn note(&mut self, before: &Ledger, after: &Ledger) {
        let is_same = before.entries().eq(after.entries());
        let expected = before.revision() + u64::from(!is_same);
        assert_eq!(after.revision(), expected, "one revision for a change, none for nothing");
        if !is_same {
            self.documents.push(document::of_ledger(after));
        }
    }

    /// A document of the past is what it was, as long as it is kept.
    fn check_past(&self, number: usize, chance: &mut Chance) {
        let current = self.servers[number].ledger().revision();
        if current == 0 {
            return;
        }
        let revision = 1 + chance.draw() % current;
        let command = Command::Look(Look::Revision(revision));
        let now = self.servers[number].now.get();
        let outcome = self.servers[number].coordinator.borrow_mut().handle(command, "me", now);
        let newest = self.storage.ledger().revision();
        match outcome.answer {
            Ok(Done::Revision(summary, document)) => {
                assert_eq!(summary.revision, revision);
                let expected = &self.documents[usize::try_from(revision).unwrap()];
                assert_eq!(document, *expected, "revision {revision} at {current}");
            }
            Err(Refusal::Forgotten) => assert!(revision + KEPT <= newest, "{revision} {newest}"),
            other => panic!("{other:?}"),
        }
    }
}

fn parsed(answer: &Answer) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&answer.body)
}

#[test]
fn dialogues_leave_what_is_kept_sound() {
    let mut budget = Budget::new(150);
    let mut seed = environment("FUZZ_SEED", 3);
    let (mut cases, mut changes) = (0, 0);
    while budget.goes_on() {
        let (mut chance, mut case) = (Chance::new(seed), Case::new(seed));
        for _ in 0..STEPS {
            case.step(&mut chance);
        }
        seed += 1;
        cases += 1;
        changes += case.documents.len() - 1;
    }
    assert!(
        changes > cases * 5,
        "too few changes to say something: {changes} in {cases} dialogues"
    );
}

/// What it caught up with did not serve where its own change was refused.
#[test]
fn a_server_that_was_behind_serves_what_it_caught_up_with() {
    let case = Case::new(0);
    let request = |method: &str, target: &str, body: Value| Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: vec![("x-api-key", KEY.to_owned())],
        client: 1,
        body: body.to_string().into_bytes(),
    };
    let route = json!({"uri": "/r", "upstream": "http://a:1"});
    let [first, second] = &case.servers;
    assert_eq!(first.ask(&request("PUT", "/apisix/admin/routes/r", route)).status, 201);
    let settings = json!({"settings": {"proof_headers": true}});
    let mut outdated = request("PUT", "/splitway/v1/config", settings);
    outdated.headers.push(("if-match", "0".to_owned()));
    let refused = second.ask(&outdated);
    assert_eq!(refused.status, 412, "{}", refused.body);
    assert_eq!((second.serving.borrow().as_str(), second.ledger().revision()), ("1", 1));
}
