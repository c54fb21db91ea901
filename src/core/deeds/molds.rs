//! Plugins that many routes have word for word are checked once, and each of these routes has a cast of what
//! came out.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Deeds;
use crate::fault::{At, Fault, Report};
use crate::kind::Kind;
use crate::split::{Scope, Section};

/// How many plugins are told apart at a time.
pub(crate) const MOLDS: usize = 8;

/// What the plugins of routes came out as.
#[derive(Debug)]
pub(crate) struct Molds(RefCell<[Option<Mold>; MOLDS]>);

#[derive(Debug)]
struct Mold {
    /// The number of the plugins.
    number: usize,
    deeds: Deeds,
    /// What was said of them, at places inside of them.
    warnings: Vec<Fault>,
}

impl Molds {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(RefCell::new([const { None }; MOLDS]))
    }

    /// Checks the plugins of a route, unless those of the same `number`, which say the same, were checked
    /// before and do nothing that is a route's own.
    pub(crate) fn deeds(
        &self,
        (plugins, number): (&Map<String, Value>, Option<usize>),
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) -> Deeds {
        if let Some(deeds) = number.and_then(|number| self.cast(number, scope.phase, at, report)) {
            return deeds;
        }
        let (faults, warnings) = (report.faults.len(), report.warnings.len());
        let deeds = Deeds::compile(plugins, Kind::Route, scope, at, report);
        if let Some(number) = number
            && report.faults.len() == faults
            && deeds.are_of_any(scope)
        {
            let warnings = report.warnings.get(warnings..).unwrap_or_default();
            self.keep(Mold::of(number, &deeds, warnings, at));
        }
        deeds
    }

    fn cast(&self, number: usize, phase: u64, at: At<'_>, report: &mut Report) -> Option<Deeds> {
        let molds = self.0.borrow();
        let mold = molds.get(number % MOLDS)?.as_ref().filter(|mold| mold.number == number)?;
        let deeds = mold.deeds.again(phase)?;
        for Fault { at: inner, what, missing } in &mold.warnings {
            let (what, missing) = (what.clone(), missing.clone());
            report.warnings.push(Fault { at: at.pointer_to(inner), what, missing });
        }
        Some(deeds)
    }

    fn keep(&self, mold: Mold) {
        if let Some(place) = self.0.borrow_mut().get_mut(mold.number % MOLDS) {
            *place = Some(mold);
        }
    }
}

impl Mold {
    fn of(number: usize, deeds: &Deeds, warnings: &[Fault], at: At<'_>) -> Self {
        let outer = at.to_string();
        let within = |warning: &Fault| {
            let inner = warning.at.strip_prefix(&outer).unwrap_or(&warning.at).to_owned();
            Fault { at: inner, ..warning.clone() }
        };
        Self { number, deeds: deeds.clone(), warnings: warnings.iter().map(within).collect() }
    }
}

impl Deeds {
    /// Whether they would be the same for another route.
    fn are_of_any(&self, scope: Scope<'_>) -> bool {
        let own = match scope.own {
            // What is said of a branch that goes there is not all that there is to say.
            Some(None) => return false,
            Some(Some(own)) => Some(own),
            None => None,
        };
        self.guards.is_empty() && self.sections.iter().all(|section| section.is_of_any(own))
    }

    /// The same for another route.
    fn again(&self, phase: u64) -> Option<Self> {
        let (rewrites, breakers) = (self.rewrites.clone(), self.breakers.clone());
        let again = |section: &Arc<Section>| section.again(phase).map(Arc::new);
        let sections = self.sections.iter().map(again).collect::<Option<_>>()?;
        Some(Self { guards: Vec::new(), rewrites, breakers, sections })
    }
}
