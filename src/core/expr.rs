//! Expressions over variables, as APISIX writes them in `vars` (APISIX.md 3.2).

use serde_json::Value as Json;

use crate::fault::{At, Report};
use crate::variable::{Value, Variable};

/// What names something that expressions can compare.
pub(crate) trait Term: Sized {
    /// The term with this name, or what is wrong with the name.
    fn parse(name: &str) -> Result<Self, String>;
}

impl Term for Variable {
    fn parse(name: &str) -> Result<Self, String> {
        Self::parse(name)
    }
}

/// A checked expression.
#[derive(Debug, PartialEq)]
pub(crate) struct Expr<T = Variable> {
    terms: Vec<T>,
}

impl<T: Term> Expr<T> {
    /// Checks an expression; reports every fault in it.
    pub(crate) fn compile(_value: &Json, _at: At<'_>, _report: &mut Report) -> Option<Self> {
        Some(Self { terms: Vec::new() })
    }

    /// Whether it holds, given what each term stands for.
    pub(crate) fn holds<'v>(&self, _value: &dyn Fn(&T) -> Option<Value<'v>>) -> bool {
        self.terms.is_empty()
    }

    /// All the terms it compares.
    pub(crate) fn terms(&self) -> impl Iterator<Item = &T> {
        self.terms.iter()
    }
}
