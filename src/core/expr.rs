//! Expressions over variables, as APISIX writes them in `vars` (APISIX.md 3.2).
//!
//! `[[variable, operator, value], ..]` is an "and"; `[variable, "!", operator, value]` negates; lists that
//! begin with `OR`, `AND`, `!OR` or `!AND` nest. All that can be known beforehand is known when the
//! expression is compiled: patterns, networks, numbers. What is left to do for a request cannot fail. It
//! allocates only for values that cannot be lent from the request ([`crate::variable`]), and for patterns.

mod compile;
mod number;
mod test;

use serde_json::Value as Json;

use crate::fault::{At, Report};
use crate::variable::{Value, Variable, warn_of_body};
use compile::Compiler;
use test::Test;

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
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr<T = Variable> {
    root: Node<T>,
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
enum Node<T> {
    Comparison(Comparison<T>),
    Group { join: Join, is_negated: bool, nodes: Vec<Node<T>> },
}

/// How the parts of a group make a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    And,
    Or,
}

/// One comparison of a term.
#[derive(Clone, Debug, PartialEq)]
struct Comparison<T> {
    term: T,
    is_negated: bool,
    test: Test,
    /// The same in words.
    words: Box<str>,
}

/// How a part of an expression came out, and the comparison that decided it.
struct Outcome<'e, 'v, T> {
    holds: bool,
    decisive: Option<Decisive<'e, 'v, T>>,
}

/// A comparison that was made.
struct Decisive<'e, 'v, T> {
    comparison: &'e Comparison<T>,
    value: Option<Value<'v>>,
    holds: bool,
}

/// Checks an expression about requests, and says if it looks into their bodies.
pub(crate) fn compile(value: &Json, at: At<'_>, report: &mut Report) -> Option<Expr> {
    let expr = Expr::<Variable>::compile(value, at, report)?;
    if expr.terms().any(Variable::needs_body) {
        warn_of_body(at, report);
    }
    Some(expr)
}

impl<T: Term> Expr<T> {
    /// Checks an expression; reports every fault in it.
    pub(crate) fn compile(value: &Json, at: At<'_>, report: &mut Report) -> Option<Self> {
        Compiler::new(report).whole(value, at).map(|root| Self { root })
    }
}

impl<T> Expr<T> {
    /// Whether it holds, given what each term stands for.
    pub(crate) fn holds<'v>(&self, value: &dyn Fn(&T) -> Option<Value<'v>>) -> bool {
        self.root.outcome(value).holds
    }

    /// The first comparison by which it does not hold, in words and with what it found; nothing where
    /// it holds.
    pub(crate) fn why_not<'v>(&self, value: &dyn Fn(&T) -> Option<Value<'v>>) -> Option<String> {
        let outcome = self.root.outcome(value);
        if outcome.holds {
            return None;
        }
        Some(outcome.decisive.map_or_else(String::new, |decisive| decisive.told()))
    }

    /// All the terms it compares.
    pub(crate) fn terms(&self) -> impl Iterator<Item = &T> {
        let mut terms = Vec::new();
        self.root.collect(&mut terms);
        terms.into_iter()
    }
}

impl<T> Node<T> {
    /// Recurses as deep as the expression is nested, which its compilation bounds.
    fn outcome<'e, 'v>(&'e self, value: &dyn Fn(&T) -> Option<Value<'v>>) -> Outcome<'e, 'v, T> {
        match self {
            Self::Comparison(comparison) => comparison.outcome(value),
            Self::Group { join, is_negated, nodes } => {
                let settled_by = *join == Join::Or;
                let mut first = None;
                for node in nodes {
                    let outcome = node.outcome(value);
                    if outcome.holds == settled_by {
                        return Outcome { holds: settled_by != *is_negated, ..outcome };
                    }
                    first = first.or(outcome.decisive);
                }
                Outcome { holds: settled_by == *is_negated, decisive: first }
            }
        }
    }

    fn collect<'e>(&'e self, terms: &mut Vec<&'e T>) {
        match self {
            Self::Comparison(comparison) => terms.push(&comparison.term),
            Self::Group { nodes, .. } => nodes.iter().for_each(|node| node.collect(terms)),
        }
    }
}

impl<T> Comparison<T> {
    fn outcome<'e, 'v>(&'e self, value: &dyn Fn(&T) -> Option<Value<'v>>) -> Outcome<'e, 'v, T> {
        let value = value(&self.term);
        let holds = self.test.holds(value.as_ref()) != self.is_negated;
        Outcome { holds, decisive: Some(Decisive { comparison: self, value, holds }) }
    }
}

impl<T> Decisive<'_, '_, T> {
    fn told(&self) -> String {
        let found = match &self.value {
            None => "it is absent".to_owned(),
            Some(Value::Text(text)) => format!("it is {}", Json::from(&**text)),
            Some(Value::Json(json)) => format!("it is {json}"),
        };
        let but = if self.holds { " holds and must not" } else { "" };
        format!("{}{but}: {found}", self.comparison.words)
    }
}

#[cfg(test)]
mod tests;
