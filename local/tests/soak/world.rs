//! Branches with two origins each, the documents that split traffic between them, and what befalls both.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_tests::chance::Chance;

use crate::ledger::Ledger;
use crate::origin::Origin;
use crate::process::{Files, Serving};
use crate::pulse::Pulse;

/// The branches; the last is not in every document.
const BRANCHES: [(&str, [&str; 2]); 3] =
    [("v1", ["v1-a", "v1-b"]), ("v2", ["v2-a", "v2-b"]), ("v3", ["v3-a", "v3-b"])];

/// Where the server reads its document.
const NAME: &str = "split.json";

/// The origins, and the file that says how they are used.
pub(crate) struct World {
    pub(crate) files: Files,
    branches: Vec<[Origin; 2]>,
    changes_count: u64,
}

/// What befell the world while it was under load.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Deeds {
    pub(crate) changes: u64,
    pub(crate) kills: u64,
    /// Certificates that took the place of others, and processes.
    pub(crate) successions: u64,
}

impl World {
    pub(crate) fn new(ledger: &Arc<Ledger>, chance: &mut Chance) -> Self {
        let start = |name| Origin::start(name, ledger);
        let branches = BRANCHES.map(|(_, names)| names.map(start)).into();
        let mut world = Self { files: Files::new(), branches, changes_count: 0 };
        world.write(&world.document(chance).to_string());
        world
    }

    /// The path of the document.
    pub(crate) fn path(&self) -> String {
        crate::process::argument(&self.files.path(NAME))
    }

    /// Puts a text in the place of the document at once.
    fn write(&mut self, text: &str) {
        self.changes_count += 1;
        let beside = self.files.write("beside", text);
        std::fs::rename(beside, self.files.path(NAME)).expect("it can be renamed");
    }

    /// Any split between the branches. Budgets are wide: what is asked is that nothing is lost, and not
    /// how much an upstream can bear.
    fn document(&self, chance: &mut Chance) -> Value {
        let branches_count = BRANCHES.len() - chance.below(2);
        let branches = BRANCHES.iter().zip(&self.branches).take(branches_count);
        // One branch may leave its failures to the others. All may not: each could have a dead node, and
        // every attempt could meet one.
        let (leaves, which) = (chance.one_in(2), chance.below(branches_count));
        let branches: Vec<Value> = branches
            .enumerate()
            .map(|(place, ((name, _), origins))| {
                let mut upstream = upstream(origins, chance);
                if leaves && place == which {
                    upstream["retries"] = json!(0);
                }
                json!({"name": name, "weight": 1 + chance.below(9), "upstream": upstream})
            })
            .collect();
        let rule = json!({
            "weighted_upstreams": branches,
            "on_failure": {"to": "others", "attempts": 2},
            "breaker": {"failures": 10, "open": 0.3, "open_max": 0.6},
        });
        let split = json!({
            "id": "soak", "uri": "/*", "desc": format!("change {}", self.changes_count),
            "plugins": {"traffic-split": {"rules": [rule]}},
        });
        let others = (0..chance.below(50)).map(|number| {
            json!({"id": format!("other-{number}"), "uri": format!("/other/{number}"),
                "upstream": {"nodes": {"127.0.0.1:1": 1}}})
        });
        let routes: Vec<Value> = [split].into_iter().chain(others).collect();
        json!({"routes": routes})
    }

    /// Replaces the document under load, once in a while by a faulty one, which nobody takes.
    pub(crate) fn change(&mut self, serving: &mut Serving, pulse: &Pulse, chance: &mut Chance) {
        if chance.one_in(5) {
            self.write(r#"{"routs": []}"#);
            serving.line(|line| line.contains("configuration_fault"));
        }
        let document = self.document(chance).to_string();
        pulse.turn(|| {
            self.write(&document);
            let line = serving.line(|line| line.contains("configuration_loaded"));
            let line: Value = serde_json::from_str(&line).expect("a line of JSON");
            Some(line["revision"].as_str().expect("a revision").to_owned())
        });
    }

    /// Kills one of the two origins of some branches, and starts them again after a while, in which the
    /// document may change, too.
    pub(crate) fn kill_some(
        &mut self,
        serving: &mut Serving,
        pulse: &Pulse,
        chance: &mut Chance,
        deeds: &mut Deeds,
    ) {
        let (some, resets) = (1 + chance.below((1 << BRANCHES.len()) - 1), chance.one_in(2));
        let killed: Vec<_> = (0..BRANCHES.len())
            .filter(|place| some & (1 << place) != 0)
            .map(|place| (place, chance.below(2)))
            .collect();
        pulse
            .kill(|| killed.iter().for_each(|(at, which)| self.branches[*at][*which].kill(resets)));
        deeds.kills += u64::try_from(killed.len()).expect("few");
        if chance.one_in(3) {
            self.change(serving, pulse, chance);
            deeds.changes += 1;
        }
        linger(chance, 600);
        pulse.revive(|| killed.iter().for_each(|(at, which)| self.branches[*at][*which].revive()));
        linger(chance, 600);
    }
}

/// Two nodes, which are asked again so soon after they failed that none is still left out when the other
/// is killed.
fn upstream(origins: &[Origin; 2], chance: &mut Chance) -> Value {
    let nodes = origins.each_ref().map(|origin| (origin.authority(), 1 + chance.below(3)));
    json!({
        "nodes": {&nodes[0].0: nodes[0].1, &nodes[1].0: nodes[1].1},
        "timeout": {"connect": 5, "send": 30, "read": 30},
        "retry": {"backoff": {"base": 0.005, "max": 0.05}, "budget": {"percent": 1000, "burst": 100_000}},
        "breaker": {"failures": 5, "open": 0.1, "open_max": 0.1},
        "keepalive_pool": {"idle_timeout": 1, "requests": 200},
    })
}

/// Lets up to so much time pass, and at least a third of it.
pub(crate) fn linger(chance: &mut Chance, millis_max: usize) {
    let millis = millis_max / 3 + chance.below(millis_max * 2 / 3);
    thread::sleep(Duration::from_millis(u64::try_from(millis).expect("few")));
}

/// Does something again and again until the time is up, at least once.
pub(crate) fn repeat(time: Duration, mut what: impl FnMut()) {
    let end = Instant::now() + time;
    loop {
        what();
        if Instant::now() >= end {
            return;
        }
    }
}
