//! How a rule picks one of its branches: by what somebody may ask for, by a key, or by turns.

use super::branch::{Branch, Branches};
use super::room::{Full, NoRoom, Room};
use crate::affinity::{Affinity, StickyWire};
use crate::facts::{Facts, NeedsBody};
use crate::fault::{At, Report};
use crate::forced::{Denied, Forced};
use crate::limit::Taken;
use crate::rendezvous::Rendezvous;
use crate::seal::Secret;
use crate::telemetry::reason;
use crate::time::Timestamp;
use crate::variable::warn_of_body;

use super::{Rule, Scope};

/// What a pick is made from, beside the request.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// What time it is.
    pub now: Timestamp,
    /// What this deployment signs with, if it has something.
    pub secret: Option<&'a Secret>,
    /// Where random numbers come from.
    pub chance: &'a dyn Fn() -> u64,
    /// Whether this is only to see what would happen: then no turn is taken.
    pub is_trial: bool,
}

impl Means<'_> {
    /// No time, no secret, no chance: for requests that are decided without.
    pub const NONE: Means<'static> =
        Means { now: Timestamp::from_millis(0), secret: None, chance: &|| 0, is_trial: false };
}

/// Why a branch was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Nothing is split here.
    Whole,
    /// It was its turn.
    Turn,
    /// The key of whoever asks, found there.
    Key { by: Box<str>, key: Box<str> },
    /// A key that was drawn for whoever asks, and the cookie to give it to them.
    Issued { set_cookie: Box<str> },
    /// Somebody who may asked for it by name.
    Forced,
}

impl How {
    /// What it is called where requests are counted or told of.
    pub(crate) fn token(&self) -> &'static str {
        match self {
            Self::Whole => reason::WHOLE,
            Self::Turn => reason::TURN,
            Self::Key { .. } | Self::Issued { .. } => reason::KEY,
            Self::Forced => reason::OVERRIDE,
        }
    }
}

/// A branch, and why that one.
#[derive(Debug)]
pub(crate) struct Picked<'a> {
    pub(crate) branch: &'a Branch,
    pub(crate) how: How,
    /// Why another branch that was asked for by name was not picked.
    pub(crate) denied: Option<Box<str>>,
    /// Whose request it is to the branches that count.
    pub(crate) room: Room,
    /// What it takes up in the branch.
    pub(crate) taken: Taken,
}

/// Why no branch was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpicked {
    /// It depends on the body.
    NeedsBody,
    /// All that it could be have taken as many requests as they take.
    NoRoom(NoRoom),
}

impl From<NeedsBody> for Unpicked {
    fn from(_: NeedsBody) -> Self {
        Self::NeedsBody
    }
}

/// The keys of a rule and the branches they belong to.
#[derive(Debug)]
pub(crate) struct Keyed {
    affinity: Affinity,
    rendezvous: Rendezvous,
}

impl Keyed {
    /// Checks what a rule says in `sticky`. Where it names no salt, that of the scope counts.
    pub(super) fn compile(
        wire: &StickyWire,
        branches: &Branches,
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        let affinity = Affinity::compile(wire, scope.salt, scope.methods, at, report)?;
        if affinity.needs_body() {
            warn_of_body(at.key("by"), report);
        }
        let names: Vec<&str> = branches.list().iter().map(|branch| &*branch.name).collect();
        let weights: Vec<_> = branches.list().iter().map(|branch| branch.weight).collect();
        let rendezvous = Rendezvous::new(&names, &weights, affinity.salt()).ok()?;
        Some(Self { affinity, rendezvous })
    }

    /// Whether keys are issued in a cookie.
    pub(crate) fn issues(&self) -> bool {
        self.affinity.issues()
    }

    /// Whether keys are mixed with this.
    pub(super) fn has_salt(&self, salt: &str) -> bool {
        self.affinity.salt() == salt
    }

    /// What a key is to all branches alike, as hexadecimal digits.
    pub(crate) fn point(&self, key: &[u8]) -> String {
        format!("{:032x}", self.rendezvous.point(key))
    }

    /// The position of the branch that a key belongs to.
    pub(crate) fn owner(&self, key: &[u8]) -> usize {
        self.rendezvous.owner(key)
    }

    /// The same with the weight of each branch times what `scale` makes of its position, if that leaves
    /// anything.
    pub(super) fn owner_among(&self, key: &[u8], scale: impl Fn(usize) -> u32) -> Option<usize> {
        self.rendezvous.owner_among(key, scale)
    }
}

impl Rule {
    /// The branch for a request that the rule takes. No turn is taken before everything is known. A branch
    /// that others have filled meanwhile is passed over.
    pub(crate) fn pick(
        &self,
        facts: &Facts<'_>,
        route: &str,
        means: Means<'_>,
    ) -> Result<Picked<'_>, Unpicked> {
        let room = self.branches.room(facts, means);
        if facts.wants_body() {
            return Err(Unpicked::NeedsBody);
        }
        let (moment, (forced, denied)) =
            ((means.now, means.is_trial), self.forced_branch(facts, route, means));
        if let Some(branch) = forced {
            let taken = self.branches.take(branch, &room, moment).map_err(Unpicked::NoRoom)?;
            return Ok(Picked { branch, how: How::Forced, denied: None, room, taken });
        }
        for _ in self.branches.list() {
            let full = self.branches.full(&room, means.now);
            let found = match self.keyed() {
                Some(keyed) => self.pick_keyed(keyed, facts, &full, means)?,
                None => self.pick_by_turn(&full, means),
            };
            let Some((branch, how)) = found else { break };
            if let Ok(taken) = self.branches.take(branch, &room, moment) {
                let denied = denied.or_else(|| self.mute(&how, means));
                return Ok(Picked { branch, how, denied, room, taken });
            }
        }
        Err(Unpicked::NoRoom(self.branches.wait(&room, means.now)))
    }

    /// The branch in place of one that turned out to be full, for a request with this key.
    pub(crate) fn instead(
        &self,
        key: Option<&str>,
        full: &Full,
        now: Timestamp,
    ) -> Option<&Branch> {
        match (self.keyed(), key) {
            (Some(keyed), Some(key)) => self.branches.owner(keyed, key.as_bytes(), full, now),
            (Some(_) | None, _) => self.branches.next(full, now),
        }
    }

    /// Why clients are not told apart, where nobody would see it.
    fn mute(&self, how: &How, means: Means<'_>) -> Option<Box<str>> {
        let is_mute = self.keyed().is_some_and(Keyed::issues) && means.secret.is_none();
        (is_mute && *how == How::Turn).then(|| "no cookie is issued without a secret".into())
    }

    fn pick_keyed(
        &self,
        keyed: &Keyed,
        facts: &Facts<'_>,
        full: &Full,
        means: Means<'_>,
    ) -> Result<Option<(&Branch, How)>, NeedsBody> {
        let Keyed { affinity, .. } = keyed;
        let issued = || means.secret.and_then(|secret| affinity.issued_key(facts, secret));
        let found = affinity.key(facts).or_else(issued);
        if facts.wants_body() {
            return Err(NeedsBody);
        }
        let (key, how) = match (found, means.secret) {
            (Some(found), _) => {
                let key = found.key.into_owned();
                let how = How::Key { by: found.by.into(), key: key.as_str().into() };
                (key, how)
            }
            (None, Some(secret)) => {
                match affinity.issue([(means.chance)(), (means.chance)()], secret) {
                    Some(issued) => {
                        (issued.key, How::Issued { set_cookie: issued.set_cookie.into() })
                    }
                    None => return Ok(self.pick_by_turn(full, means)),
                }
            }
            (None, None) => return Ok(self.pick_by_turn(full, means)),
        };
        let owner = self.branches.owner(keyed, key.as_bytes(), full, means.now);
        Ok(owner.map(|branch| (branch, how)))
    }

    fn pick_by_turn(&self, full: &Full, means: Means<'_>) -> Option<(&Branch, How)> {
        let how = if self.number.is_some() { How::Turn } else { How::Whole };
        let branch = match means.is_trial {
            true => self.branches.peek(full, means.now),
            false => self.branches.next(full, means.now),
        };
        branch.map(|branch| (branch, how))
    }

    /// The branch that a request asks for by name and may, or why it may not.
    fn forced_branch(
        &self,
        facts: &Facts<'_>,
        route: &str,
        means: Means<'_>,
    ) -> (Option<&Branch>, Option<Box<str>>) {
        let Some(forced) = self.forced() else { return (None, None) };
        match forced.asked(facts, means.secret, route, means.now) {
            Forced::Unasked => (None, None),
            Forced::Denied(denied) => (None, Some(Denied::to_string(&denied).into())),
            Forced::Branch(name) => match self.branches.named(&name) {
                Some(branch) => (Some(branch), None),
                None => (None, Some(format!("there is no branch `{name}` here").into())),
            },
        }
    }
}
