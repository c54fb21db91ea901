//! What the ledger must hold: every state it was in, as the history and the acknowledgements tell.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a route says: its `desc`, which is another with each write.
pub(crate) type State = BTreeMap<String, String>;

/// A write of one writer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Write {
    /// What the history says of it.
    pub(crate) cause: String,
    /// What its routes say afterwards; `None`, if they are gone.
    pub(crate) after: BTreeMap<String, Option<String>>,
    /// The revision, where the answer told it.
    pub(crate) revision: Option<u64>,
}

/// What a writer did since the last start of the server.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// In their order.
    pub(crate) acknowledged: Vec<Write>,
    /// The one whose answer never came.
    pub(crate) pending: Option<Write>,
}

/// Every state of the ledger so far, by revision.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) states: Vec<State>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { states: vec![State::new()] }
    }

    pub(crate) fn revision(&self) -> u64 {
        u64::try_from(self.states.len() - 1).expect("few")
    }

    pub(crate) fn last(&self) -> &State {
        self.states.last().expect("the empty state is there")
    }

    /// Takes over what the history tells, the oldest revision first: each must be the next deed of
    /// one writer. In the end all that was acknowledged must have been there.
    pub(crate) fn follow(&mut self, history: &[Value], mut deeds: Vec<Deeds>) {
        deeds.iter_mut().for_each(|deeds| deeds.acknowledged.reverse());
        for told in history {
            let revision = self.revision() + 1;
            assert_eq!(told["revision"], revision, "the revisions have no gaps: {told}");
            let write = take(&mut deeds, told, revision);
            let mut state = self.last().clone();
            for (id, desc) in write.after {
                match desc {
                    Some(desc) => drop(state.insert(id, desc)),
                    None => drop(state.remove(&id)),
                }
            }
            self.states.push(state);
        }
        for left in deeds {
            assert!(left.acknowledged.is_empty(), "acknowledged and gone: {left:?}");
        }
    }
}

/// The deed that a revision is: the next of a writer, or the one that nobody answered.
fn take(deeds: &mut [Deeds], told: &Value, revision: u64) -> Write {
    let is_it = |write: &Write| {
        let ids = told["changes"].as_array().expect("changes").iter();
        let ids: Vec<_> = ids.map(|change| change["id"].as_str().expect("an id")).collect();
        told["cause"] == *write.cause
            && ids.iter().copied().eq(write.after.keys().map(String::as_str))
            && write.revision.is_none_or(|expected| expected == revision)
    };
    for own in deeds.iter_mut() {
        match own.acknowledged.last() {
            Some(next) if is_it(next) => return own.acknowledged.pop().expect("it is there"),
            Some(_) => {}
            None if own.pending.as_ref().is_some_and(&is_it) => {
                return own.pending.take().expect("it is there");
            }
            None => {}
        }
    }
    panic!("nobody did this: {told}\nleft: {deeds:#?}");
}

/// What the routes of a document say.
pub(crate) fn state_of(document: &Value) -> State {
    let routes = document["routes"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    routes.map(|route| (text(&route["id"]), text(&route["desc"]))).collect()
}
