//! A configuration seen from outside: what its routes and splits are, and where a key or the next
//! request would go. For those who show what will happen; nothing of it moves a share.

use crate::rotation::{Rotation, Weight};
use crate::snapshot::{Route, Snapshot};
use crate::split::Rule;

/// One enabled route.
#[derive(Clone, Copy)]
pub struct RouteView<'s>(&'s Route);

/// The branches that some of the requests of a route are divided among.
#[derive(Clone, Copy)]
pub struct RuleView<'s>(&'s Rule);

/// All enabled routes, in the order of the document.
pub fn routes(snapshot: &Snapshot) -> impl Iterator<Item = RouteView<'_>> {
    snapshot.routes().iter().map(RouteView)
}

impl<'s> RouteView<'s> {
    /// Its id.
    pub fn id(&self) -> &'s str {
        &self.0.id
    }

    /// Its rules, in the order in which they are asked.
    pub fn rules(&self) -> impl Iterator<Item = RuleView<'s>> {
        self.0.split.rules().map(RuleView)
    }
}

impl<'s> RuleView<'s> {
    /// Its number in its plugin; nothing for what goes to the route's own upstream.
    pub fn number(&self) -> Option<usize> {
        self.0.number
    }

    /// Names and weights of its branches.
    pub fn branches(&self) -> impl Iterator<Item = (&'s str, Weight)> {
        self.0.branches.list().iter().map(|branch| (&*branch.name, branch.weight))
    }

    /// A walk of the same weights from its beginning: the branches that requests without a key get.
    pub fn walk(&self) -> Rotation {
        self.0.branches.walk()
    }

    /// Which branch has a key, if keys decide here.
    pub fn owner(&self, key: &str) -> Option<usize> {
        self.0.keyed.as_ref().map(|keyed| keyed.owner(key))
    }
}
