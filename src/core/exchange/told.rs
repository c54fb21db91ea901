//! What there is to tell of an exchange.

use std::net::IpAddr;

use super::Exchange;
use super::visit::Entered;
use crate::telemetry::reason;

impl<'a> Exchange<'a> {
    /// The id of the route that took the request.
    pub fn route(&self) -> Option<&'a str> {
        let own = || self.own.as_ref().map(|own| own.route);
        let route = self.entered.as_ref().map(|entered| entered.route).or_else(own);
        route.map(|route| &*route.id)
    }

    /// The name of the branch that serves it: the one that was picked, or else the last that it went to.
    pub fn branch(&self) -> Option<&'a str> {
        self.decision.as_ref().ok().map(|decision| &*decision.course.branch.name)
    }

    /// The name of the branch that was picked, where another one serves it.
    pub fn picked(&self) -> Option<&'a str> {
        let decision = self.decision.as_ref().ok()?;
        let (picked, branch) = (decision.picked, decision.course.branch);
        (!std::ptr::eq(picked, branch) && picked.name != branch.name).then_some(&*picked.name)
    }

    /// Why it went to the branch that serves it.
    pub fn reason(&self) -> Option<&'static str> {
        let decision = self.decision.as_ref().ok()?;
        Some(if self.picked().is_some() { reason::FAILOVER } else { decision.how.token() })
    }

    /// The authority of the node of the last attempt.
    pub fn node(&self) -> Option<&'a str> {
        self.decision.as_ref().ok()?.course.authority()
    }

    /// The name of the consumer, and the address of the client where it is another than the head says.
    pub fn caller(&self) -> (Option<&'a str>, Option<IpAddr>) {
        let own = || self.own.as_ref().map(|own| own.caller);
        let entered = self.entered.as_ref().map(|entered| entered.caller);
        let caller = entered.or_else(own).unwrap_or_default();
        (caller.consumer, caller.client)
    }

    /// The name that the request was given here, and the header in which it has one, if it has.
    pub fn request_id(&self) -> (Option<&str>, Option<&'a str>) {
        if let Some(own) = &self.own {
            return (own.id.as_deref(), own.route.guards.request_id());
        }
        let entered = self.entered.as_ref();
        let header = entered.and_then(|entered| entered.route.guards.request_id());
        (entered.and_then(Entered::request_id), header)
    }

    /// How many attempts were made.
    pub fn attempts(&self) -> u32 {
        self.decision.as_ref().map_or(0, |decision| decision.course.attempts)
    }

    /// The revision of the configuration that decided.
    pub fn revision(&self) -> Option<&'a str> {
        self.snapshot.map(|snapshot| snapshot.revision().as_str())
    }
}
