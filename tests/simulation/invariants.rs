//! What must hold in every world.

use std::collections::{BTreeMap, BTreeSet};

use crate::platform::{Entry, Request};
use std::ops::Range;

use crate::setting::{BURST, PERCENT, REPLAY_MAX, Setting};
use crate::weather::Weather;

/// One attempt as its upstream saw it.
#[derive(Clone, Debug)]
struct Attempt {
    branch: usize,
    node: String,
    weather: Weather,
    body: usize,
}

/// All that the journal says of one request.
#[derive(Clone, Debug, Default)]
struct Story {
    document: Option<usize>,
    attempts: Vec<Attempt>,
    /// The branch of each copy, if it went to one, and the length of its body.
    copies: Vec<(Option<usize>, usize)>,
    records: Vec<(u16, u32, Option<String>)>,
}

/// How often something happened, by what it was.
pub(crate) type Seen = BTreeMap<&'static str, usize>;

/// Checks a journal, and counts what is in it: what there was of documents and requests, and which of these were given up.
pub(crate) fn check(
    journal: &[Entry],
    settings: &[Setting],
    requests: &[Request],
    left: &BTreeSet<usize>,
) -> Seen {
    let mut seen = Seen::new();
    let stories = stories(journal);
    for request in requests {
        let story = &stories[&request.number];
        let has_left = left.contains(&request.number);
        let times = story.records.len();
        assert!(times == 1 || (has_left && times == 0), "{request:?} was answered {times} times");
        let Some(document) = story.document else { continue };
        check_story(story, request, &settings[document]);
        count(story, has_left, &mut seen);
    }
    check_budgets(journal);
    seen
}

/// Notes what a request went through.
fn count(story: &Story, has_left: bool, seen: &mut Seen) {
    let mut note =
        |what: &'static str, is_so: bool| *seen.entry(what).or_default() += usize::from(is_so);
    let Story { attempts, copies, records, .. } = story;
    let pairs = || attempts.iter().zip(attempts.iter().skip(1));
    note("a copy was sent", !copies.is_empty());
    note(
        "another node was asked after a 503",
        pairs().any(|(a, b)| a.branch == b.branch && a.weather == Weather::Status(503)),
    );
    note("a client left", has_left && records.is_empty());
    note("a node was tried again or another one", pairs().any(|(a, b)| a.branch == b.branch));
    note("another branch was tried", pairs().any(|(a, b)| a.branch != b.branch));
    note("a failure was made good", attempts.len() > 1 && records.iter().any(|it| it.0 == 200));
    note("a failure was the last word", records.iter().any(|it| it.0 >= 500));
    for (what, weather) in [
        ("reset", Weather::Resets),
        ("hung", Weather::Hangs),
        ("refused", Weather::Refuses),
        ("broke off", Weather::BrokenStream),
        ("empty", Weather::EmptyStream),
        ("an error first", Weather::ErrorStream),
    ] {
        note(what, pairs().any(|(failed, _)| failed.weather == weather));
    }
}

fn stories(journal: &[Entry]) -> BTreeMap<usize, Story> {
    let mut stories: BTreeMap<usize, Story> = BTreeMap::new();
    for entry in journal {
        match entry.clone() {
            Entry::Begun { request, document } => {
                stories.entry(request).or_default().document = Some(document);
            }
            Entry::Sent { request, branch, node, weather, body } => {
                let branch = branch.trim_start_matches('v').parse().unwrap();
                let attempt = Attempt { branch, node, weather, body };
                stories.entry(request).or_default().attempts.push(attempt);
            }
            Entry::Copied { request, branch, body } => {
                stories.entry(request).or_default().copies.push((branch, body));
            }
            Entry::Recorded { request, status, attempts, branch } => {
                let record = (status, attempts, branch);
                stories.entry(request).or_default().records.push(record);
            }
        }
    }
    stories
}

fn check_story(story: &Story, request: &Request, setting: &Setting) {
    let Story { attempts, records, .. } = story;
    let count = u32::try_from(attempts.len()).unwrap();
    assert!(count <= setting.attempts_max(), "{request:?}: {attempts:?}");
    check_places(attempts, request, setting);
    check_copies(story, request);
    let is_safe = request.method != "POST" || request.has_key;
    for (attempt, next) in attempts.iter().zip(attempts.iter().skip(1)) {
        let is_unknown = matches!(attempt.weather, Weather::Resets | Weather::Hangs);
        assert!(is_safe || !is_unknown, "executed twice: {request:?}: {attempts:?}");
        assert!(attempt.weather != Weather::Fine, "{request:?} was answered: {attempts:?}");
        assert_eq!(attempt.body, next.body, "{request:?}: the body is another");
    }
    let is_kept = request.body == 0 || (request.is_sized && request.body <= REPLAY_MAX);
    let is_known = request.is_sized;
    assert!(count < 2 || (is_kept && is_known), "{request:?} had no body to send again");
    let Some((status, told, branch)) = records.first() else { return };
    let can_go_on = is_kept && is_known;
    assert!(!can_go_on || !should_go_on(attempts, is_safe, setting), "{request:?}: {attempts:?}");
    assert_eq!(*told, count, "{request:?}: {attempts:?}");
    let Some(last) = attempts.last() else { return };
    assert_eq!(branch.as_deref(), Some(&*format!("v{}", last.branch)), "{request:?}");
    let expected: &[u16] = match last.weather {
        Weather::Fine | Weather::EmptyStream | Weather::ErrorStream => &[200],
        Weather::Refuses | Weather::Resets => &[502],
        Weather::Hangs => &[504],
        Weather::Status(status) => &[status],
        Weather::BrokenStream => &[200, 502],
    };
    assert!(expected.contains(status), "{request:?}: {status} of {attempts:?}");
}

/// Where attempts went: to branches that have a weight or are named for failures, each branch in one go,
/// and no node twice unless it is the only one.
fn check_places(attempts: &[Attempt], request: &Request, setting: &Setting) {
    let named = setting.on_failure.as_ref().and_then(|on_failure| on_failure.to);
    let mut branches = Vec::new();
    for (number, attempt) in attempts.iter().enumerate() {
        let branch = &setting.branches[attempt.branch];
        let may_be = branch.weight > 0 || (number > 0 && named == Some(attempt.branch));
        assert!(may_be, "{request:?} went to a branch of weight 0: {attempts:?}");
        if branches.last() != Some(&attempt.branch) {
            assert!(!branches.contains(&attempt.branch), "{request:?} went back: {attempts:?}");
            branches.push(attempt.branch);
        }
        let at_node = attempts.iter().filter(|other| other.node == attempt.node);
        let is_only = branch.candidates().count() == 1;
        assert!(is_only || at_node.count() == 1, "{request:?}: {attempts:?}");
        let may_be = |node| Setting::node(attempt.branch, node) == attempt.node;
        assert!(branch.candidates().any(may_be), "{request:?} at a node of weight 0: {attempts:?}");
    }
    let failovers = u32::try_from(branches.len().saturating_sub(1)).unwrap();
    let most = setting.on_failure.as_ref().map_or(0, |it| it.attempts);
    assert!(failovers <= most, "{request:?} went to {branches:?}");
}

/// Whether a request that ended with these attempts should have gone to one more branch: all failures are
/// listed in documents that list any.
fn should_go_on(attempts: &[Attempt], is_safe: bool, setting: &Setting) -> bool {
    let (Some(last), Some(on_failure)) = (attempts.last(), &setting.on_failure) else {
        return false;
    };
    let has_failed = last.weather != Weather::Fine;
    let is_unknown = matches!(last.weather, Weather::Resets | Weather::Hangs);
    let been_at = |branch: usize| attempts.iter().any(|attempt| attempt.branch == branch);
    let failovers = (0..setting.branches.len()).filter(|branch| been_at(*branch)).count() - 1;
    let has_other = match on_failure.to {
        Some(to) => !been_at(to),
        None => {
            let mut all = setting.branches.iter().enumerate();
            all.any(|(number, branch)| branch.weight > 0 && !been_at(number))
        }
    };
    let is_allowed = u32::try_from(failovers).unwrap() < on_failure.attempts;
    has_failed && (is_safe || !is_unknown) && is_allowed && has_other
}

/// A copy is one, is whole, and goes to no branch that the request was at.
fn check_copies(story: &Story, request: &Request) {
    let Story { attempts, copies, .. } = story;
    assert!(copies.len() <= 1, "{request:?}: {copies:?}");
    for (branch, body) in copies {
        let was_there = attempts.iter().any(|attempt| Some(attempt.branch) == *branch);
        assert!(!was_there, "{request:?} was at the branch of its copy: {attempts:?}, {copies:?}");
        assert_eq!(*body, request.body, "{request:?}: the body of the copy is another");
    }
}

/// Long after the storm these requests are served at the first attempt, and all that was left alone in it
/// has its share again: every branch with a good part of the weight, and in each of them the nodes that
/// come before the others.
pub(crate) fn check_calm(journal: &[Entry], setting: &Setting, last: Range<usize>) {
    let stories = stories(journal);
    let mut served_by = BTreeMap::<usize, Vec<&str>>::new();
    for number in last {
        let Story { attempts, records, .. } = &stories[&number];
        let record = records.first();
        assert!(record.is_some_and(|it| it.0 == 200), "{number} in the calm: {records:?}");
        let [attempt] = &attempts[..] else { panic!("{number} in the calm: {attempts:?}") };
        served_by.entry(attempt.branch).or_default().push(&attempt.node);
    }
    let all: u32 = setting.branches.iter().map(|branch| branch.weight).sum();
    for (number, branch) in setting.branches.iter().enumerate() {
        if setting.is_sticky || branch.weight * 4 < all {
            continue;
        }
        let nodes = served_by.get(&number).map_or(&[][..], Vec::as_slice);
        assert!(nodes.len() >= 9, "v{number} is still left alone: {served_by:?}");
        let first: Vec<_> =
            branch.first_tier().iter().map(|node| Setting::node(number, *node)).collect();
        let is_first = |node: &&str| first.iter().any(|first| first == node);
        assert!(nodes.iter().all(is_first), "nodes of v{number} are left alone: {served_by:?}");
    }
}

/// Of each upstream: no more retries at any time than it can bear, but for those of what found nobody.
fn check_budgets(journal: &[Entry]) {
    let mut last: BTreeMap<usize, (&str, Weather)> = BTreeMap::new();
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for entry in journal {
        let Entry::Sent { request, branch, weather, .. } = entry else { continue };
        let (firsts, retries) = counts.entry(branch).or_default();
        match last.insert(*request, (branch, *weather)) {
            Some((before, Weather::Refuses)) if before == branch => {}
            Some((before, _)) if before == branch => *retries += 1,
            _ => *firsts += 1,
        }
        let most = BURST + *firsts * PERCENT / 100;
        assert!(*retries <= most, "{branch}: {retries} retries of {firsts} requests");
    }
}
