//! What must hold in every world.

use std::collections::{BTreeMap, BTreeSet};

use crate::platform::{Entry, Request};
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
    let Story { attempts, records, .. } = story;
    let pairs = || attempts.iter().zip(attempts.iter().skip(1));
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
        assert!(branch.nodes_count == 1 || at_node.count() == 1, "{request:?}: {attempts:?}");
    }
    let failovers = u32::try_from(branches.len().saturating_sub(1)).unwrap();
    let most = setting.on_failure.as_ref().map_or(0, |it| it.attempts);
    assert!(failovers <= most, "{request:?} went to {branches:?}");
}

/// Of each upstream: no more retries at any time than it can bear.
fn check_budgets(journal: &[Entry]) {
    let mut last: BTreeMap<usize, &str> = BTreeMap::new();
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for entry in journal {
        let Entry::Sent { request, branch, .. } = entry else { continue };
        let (firsts, retries) = counts.entry(branch).or_default();
        match last.insert(*request, branch) {
            Some(before) if before == branch => *retries += 1,
            _ => *firsts += 1,
        }
        let most = BURST + *firsts * PERCENT / 100;
        assert!(*retries <= most, "{branch}: {retries} retries of {firsts} requests");
    }
}
