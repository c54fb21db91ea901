//! From what is written to an expression, with every fault in it. APISIX's words are kept where it has
//! some.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value as Json;

use super::number;
use super::test::{Operand, Test};
use super::{Comparison, Join, Node, Term};
use crate::fault::{At, Report, did_you_mean};
use crate::pattern::Pattern;

/// How deep groups may be nested: what evaluates them recurses.
const DEPTH_MAX: usize = 16;

/// How many comparisons and groups an expression may have, and elements a list in it.
const SIZE_MAX: usize = 1000;

const OPERATORS: [&str; 11] =
    ["==", "~=", ">", ">=", "<", "<=", "~~", "~*", "in", "has", "ipmatch"];

const NO_BRACKETS: &str = "rule should be wrapped inside brackets";

pub(super) struct Compiler<'r> {
    report: &'r mut Report,
    nodes_count: usize,
}

impl<'r> Compiler<'r> {
    pub(super) fn new(report: &'r mut Report) -> Self {
        Self { report, nodes_count: 0 }
    }

    /// A whole expression; an empty one always holds.
    pub(super) fn whole<T: Term>(&mut self, value: &Json, at: At<'_>) -> Option<Node<T>> {
        let list = match value {
            Json::Array(list) => list,
            Json::Null => return self.fault(at, "missing argument rule"),
            Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
                return self.fault(at, "an expression is a list of comparisons");
            }
        };
        let faults_count = self.report.faults.len();
        let node = match list.first() {
            None => Some(Node::Group { join: Join::And, is_negated: false, nodes: Vec::new() }),
            Some(Json::String(word)) if group(word).is_none() => self.fault(at, NO_BRACKETS),
            Some(_) => self.node(list, at, 0),
        };
        node.filter(|_| self.report.faults.len() == faults_count)
    }

    fn fault<U>(&mut self, at: At<'_>, what: impl Into<String>) -> Option<U> {
        self.report.fault(at, what);
        None
    }

    fn node<T: Term>(&mut self, list: &[Json], at: At<'_>, depth: usize) -> Option<Node<T>> {
        if depth > DEPTH_MAX {
            return self.fault(at, format!("groups are nested deeper than {DEPTH_MAX}"));
        }
        self.nodes_count += 1;
        if self.nodes_count > SIZE_MAX {
            return self.fault(at, format!("more than {SIZE_MAX} comparisons in one expression"));
        }
        match list.first() {
            None => self.fault(at, "rule too short"),
            Some(Json::Array(_)) => self.group(Join::And, false, list, 0, at, depth),
            Some(Json::String(word)) => match group(word) {
                Some(_) if list.len() < 3 => self.fault(at, "rule too short"),
                Some((join, is_negated)) => self.group(join, is_negated, list, 1, at, depth),
                None => self.comparison(word, list, at).map(Node::Comparison),
            },
            Some(_) => self.fault(at.index(0), "expected the name of a variable, or a list"),
        }
    }

    /// A group, whose parts begin at `first`. All of them are looked at, whatever is wrong with one.
    fn group<T: Term>(
        &mut self,
        join: Join,
        is_negated: bool,
        list: &[Json],
        first: usize,
        at: At<'_>,
        depth: usize,
    ) -> Option<Node<T>> {
        let mut nodes = Vec::new();
        for (index, part) in list.iter().enumerate().skip(first) {
            if self.nodes_count > SIZE_MAX {
                return None;
            }
            let at = at.index(index);
            match part {
                Json::Array(part) => nodes.extend(self.node(part, at, depth + 1)),
                Json::Null
                | Json::Bool(_)
                | Json::Number(_)
                | Json::String(_)
                | Json::Object(_) => {
                    self.report.fault(at, NO_BRACKETS);
                }
            }
        }
        Some(Node::Group { join, is_negated, nodes })
    }

    fn comparison<T: Term>(
        &mut self,
        name: &str,
        list: &[Json],
        at: At<'_>,
    ) -> Option<Comparison<T>> {
        let term = match T::parse(name) {
            Ok(term) => Some(term),
            Err(what) => self.fault(at.index(0), what),
        };
        let rest = list.get(1..).unwrap_or_default();
        let (is_negated, written) = self.parts(rest, at)?;
        let test = self.test(&written, at)?;
        let not = if is_negated { "! " } else { "" };
        let words = format!("{name} {not}{} {}", written.operator, written.value).into();
        Some(Comparison { term: term?, is_negated, test, words })
    }

    /// Operator and value, in all forms that APISIX knows.
    fn parts<'j>(&mut self, rest: &'j [Json], at: At<'_>) -> Option<(bool, Written<'j>)> {
        match rest {
            [Json::String(word)] => Some((false, Written::of_word(word))),
            // Two elements: an "==" that compares with the text in lower case.
            [Json::Number(number)] => Some((false, Written::equal(Json::from(number.to_string())))),
            [operator, value] => Some((false, self.written(operator, value, 1, at)?)),
            [Json::String(not), operator, value] if not == "!" => {
                Some((true, self.written(operator, value, 2, at)?))
            }
            [_, _, _] => self.fault(at, "bad 'not' expression"),
            [] | [_] => self.fault(at, "invalid expression"),
            [..] => {
                let what = "invalid expression: a comparison has four elements at most";
                self.fault(at, what)
            }
        }
    }

    fn written<'j>(
        &mut self,
        operator: &Json,
        value: &'j Json,
        index: usize,
        at: At<'_>,
    ) -> Option<Written<'j>> {
        let Json::String(operator) = operator else {
            return self.fault(at.index(index), "invalid operator: expected a text");
        };
        let operator = operator.to_ascii_lowercase();
        let known = OPERATORS.into_iter().find(|known| *known == operator);
        let Some(known) = known else {
            let what = format!("invalid operator '{operator}'{}", meant(&operator));
            return self.fault(at.index(index), what);
        };
        Some(Written { operator: known, value: Cow::Borrowed(value), index: index + 1 })
    }

    fn test(&mut self, written: &Written<'_>, at: At<'_>) -> Option<Test> {
        let value = &*written.value;
        let at = at.index(written.index);
        let order = |allowed| Test::Order { allowed, number: number::of_json(value) };
        Some(match written.operator {
            "==" => Test::Equal(Operand::of(value)),
            "~=" => Test::Unequal(Operand::of(value)),
            ">" => order(&[Ordering::Greater]),
            ">=" => order(&[Ordering::Greater, Ordering::Equal]),
            "<" => order(&[Ordering::Less]),
            "<=" => order(&[Ordering::Less, Ordering::Equal]),
            "~~" => Test::Matches(self.pattern(value, false, at)?),
            "~*" => Test::Matches(self.pattern(value, true, at)?),
            "in" => Test::In(self.elements(value, at)?),
            "has" => Test::Has(Operand::of_element(value)),
            _ => Test::Within(self.networks(value, at)?),
        })
    }

    fn pattern(&mut self, value: &Json, ignore_case: bool, at: At<'_>) -> Option<Pattern> {
        let text = match value {
            Json::String(text) => Cow::Borrowed(text.as_str()),
            Json::Number(number) => Cow::Owned(number.to_string()),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {
                return self.fault(at, "expected a pattern");
            }
        };
        Pattern::compile(&text, ignore_case).map_err(|what| self.report.fault(at, what)).ok()
    }

    /// What `in` looks through; a single value has no elements.
    fn elements(&mut self, value: &Json, at: At<'_>) -> Option<Box<[Operand]>> {
        let elements = value.as_array().map(Vec::as_slice).unwrap_or_default();
        if elements.len() > SIZE_MAX {
            return self.fault(at, format!("more than {SIZE_MAX} elements"));
        }
        if !value.is_array() {
            self.report.warn(at, "`in` with a single value never holds; write a list");
        }
        Some(elements.iter().map(Operand::of_element).collect())
    }

    fn networks(&mut self, value: &Json, at: At<'_>) -> Option<Box<[IpNet]>> {
        let list = value.as_array().map(Vec::as_slice);
        let elements = list.unwrap_or(std::slice::from_ref(value));
        if elements.is_empty() || elements.len() > SIZE_MAX {
            return self.fault(at, "invalid ip address");
        }
        let mut networks = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let at = if list.is_some() { at.index(index) } else { at };
            match element.as_str().and_then(network) {
                Some(network) => networks.push(network),
                None => {
                    let text = element.as_str().map_or_else(|| element.to_string(), str::to_owned);
                    self.report.fault(at, format!("invalid ip address: {text}"));
                }
            }
        }
        Some(networks.into())
    }
}

/// Operator and value of a comparison, and where the value stands.
struct Written<'j> {
    operator: &'static str,
    value: Cow<'j, Json>,
    index: usize,
}

impl Written<'_> {
    fn equal(value: Json) -> Self {
        Self { operator: "==", value: Cow::Owned(value), index: 1 }
    }

    /// What a lone word behind the name is: an operator without a value, or a value in lower case.
    fn of_word(word: &str) -> Self {
        let word = word.to_ascii_lowercase();
        match OPERATORS.into_iter().find(|known| *known == word) {
            Some(operator) => Self { operator, value: Cow::Owned(Json::Null), index: 1 },
            None => Self::equal(Json::from(word)),
        }
    }
}

/// What kind of group a word begins.
fn group(word: &str) -> Option<(Join, bool)> {
    let (is_negated, join) = match word.strip_prefix('!') {
        Some(join) => (true, join),
        None => (false, word),
    };
    let joins = [("and", Join::And), ("or", Join::Or)];
    let join = joins.into_iter().find(|(known, _)| join.eq_ignore_ascii_case(known));
    join.map(|(_, join)| (join, is_negated))
}

fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The operator that was probably meant, as a phrase to append.
fn meant(operator: &str) -> String {
    let known = match operator {
        "=" | "===" | "eq" | "is" => "==",
        "!=" | "<>" | "!==" | "ne" => "~=",
        "=>" => ">=",
        "=<" => "<=",
        "~" | "=~" | "regex" | "matches" => "~~",
        "contains" => "has",
        "not" | "not in" | "!in" => "!",
        _ => return did_you_mean(operator, &OPERATORS),
    };
    format!("; did you mean `{known}`?")
}
