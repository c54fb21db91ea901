//! What a GraphQL document asks for: the kind and the name of its first operation, and its root fields
//! (GraphQL, October 2021, section 2). Only as much is understood as that takes; whether the rest is
//! sound is for the upstream to say. Fragments at the root are followed: a field is asked for also where
//! it stands in one.

mod lexer;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Value, first_arg};
use crate::facts::Facts;
use crate::raw;
use lexer::{Lexer, Token};

/// How long a document may be, in bytes, as in APISIX.
const LENGTH_MAX: usize = 1024 * 1024;

/// How deep fragments and braces may be nested.
const DEPTH_MAX: usize = 64;

/// How many root fields are told; each may be as short as two bytes.
const FIELDS_MAX: usize = 1000;

/// How many fragments are followed, or looked for in vain; what others hold is not told.
const SPREADS_MAX: usize = 1000;

/// What of an operation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Operation,
    Name,
    Fields,
}

/// What of its operation a request says; nothing, where it has none that can be read.
pub(super) fn asked<'a>(facts: &Facts<'a>, asked: Asked) -> Option<Value<'a>> {
    let read = facts.read();
    if asked == Asked::Fields {
        let fields = || of_operation(facts, |operation| Json::from(operation.fields()));
        return read.root_fields.get_or_init(fields).clone().map(Value::Json);
    }
    let named =
        || of_operation(facts, |Operation { kind, name, .. }| (kind.to_owned(), name.to_owned()));
    let (kind, name) = read.operation.get_or_init(named).as_ref()?;
    let text = if asked == Asked::Name { name } else { kind };
    Some(Value::Text(Cow::Owned(text.clone())))
}

/// What `tell` tells of the operation of a request.
fn of_operation<T>(facts: &Facts<'_>, tell: impl FnOnce(Operation<'_>) -> T) -> Option<T> {
    let document = document(facts).filter(|document| document.len() <= LENGTH_MAX)?;
    parse(&document).map(tell)
}

/// The document: an argument of a GET, else the body or what is in its JSON.
fn document<'a>(facts: &Facts<'a>) -> Option<Cow<'a, str>> {
    let method = facts.draft.method.as_ref();
    if method == "GET" {
        return match first_arg(facts.draft, "query")? {
            Value::Text(query) => Some(query),
            Value::Json(_) => None,
        };
    }
    if method != "POST" {
        return None;
    }
    let kind = facts.header("content-type").unwrap_or_default();
    let body = facts.body().filter(|body| body.len() <= LENGTH_MAX)?;
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        return std::str::from_utf8(body).ok().map(Cow::Borrowed);
    }
    match raw::value(raw::member(raw::root(body)?, "query")?)? {
        Json::String(query) => Some(Cow::Owned(query)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The first operation of a document.
struct Operation<'d> {
    kind: &'d str,
    /// Empty, where it has none.
    name: &'d str,
    selections: Vec<Selection<'d>>,
    /// The fragments of the document, the first of each name.
    fragments: BTreeMap<&'d str, Vec<Selection<'d>>>,
}

/// What stands at the root of an operation or a fragment.
enum Selection<'d> {
    Field(&'d str),
    Spread(&'d str),
}

fn parse(document: &str) -> Option<Operation<'_>> {
    let mut parser = Parser { lexer: Lexer::new(document), ahead: None };
    let mut operation = None;
    let mut fragments = BTreeMap::new();
    while let Some(token) = parser.next()? {
        let (kind, name) = match token {
            Token::Mark('{') => ("query", ""),
            Token::Name(kind @ ("query" | "mutation" | "subscription")) => {
                let name = parser.name_if_there()?;
                parser.skip_arguments()?;
                parser.skip_directives()?;
                parser.expect(Token::Mark('{'))?;
                (kind, name.unwrap_or_default())
            }
            Token::Name("fragment") => {
                let name = parser.name()?;
                parser.expect(Token::Name("on"))?;
                parser.name()?;
                parser.skip_directives()?;
                parser.expect(Token::Mark('{'))?;
                ("fragment", name)
            }
            Token::Mark(_) | Token::Name(_) | Token::Spread | Token::Literal => return None,
        };
        let mut selections = Vec::new();
        parser.selections(&mut selections, 0)?;
        if kind == "fragment" {
            fragments.entry(name).or_insert(selections);
        } else if operation.is_none() {
            operation = Some((kind, name, selections));
        }
    }
    let (kind, name, selections) = operation?;
    Some(Operation { kind, name, selections, fragments })
}

impl<'d> Operation<'d> {
    /// The fields among its selections and in the fragments they name; each fragment counts once. Takes
    /// at most `FIELDS_MAX` and `SPREADS_MAX` steps.
    fn fields(mut self) -> Vec<&'d str> {
        let mut fields = Vec::new();
        let mut spreads_count = 0;
        let mut open = vec![self.selections.into_iter()];
        while let Some(selections) = open.last_mut() {
            match selections.next() {
                None => drop(open.pop()),
                Some(Selection::Field(_)) if fields.len() == FIELDS_MAX => break,
                Some(Selection::Field(name)) => fields.push(name),
                Some(Selection::Spread(_)) if spreads_count == SPREADS_MAX => break,
                Some(Selection::Spread(name)) => {
                    spreads_count += 1;
                    open.extend(self.fragments.remove(name).map(Vec::into_iter));
                }
            }
        }
        fields
    }
}

/// All methods give nothing where the document is none, which ends everything.
struct Parser<'d> {
    lexer: Lexer<'d>,
    ahead: Option<Token<'d>>,
}

impl<'d> Parser<'d> {
    /// The next token, or that there is none.
    fn next(&mut self) -> Option<Option<Token<'d>>> {
        match self.ahead.take() {
            Some(token) => Some(Some(token)),
            None => self.lexer.next(),
        }
    }

    fn peek(&mut self) -> Option<Option<Token<'d>>> {
        self.ahead = self.next()?;
        Some(self.ahead)
    }

    fn take_if(&mut self, expected: Token<'_>) -> Option<bool> {
        let is_there = self.peek()? == Some(expected);
        if is_there {
            self.ahead = None;
        }
        Some(is_there)
    }

    fn expect(&mut self, expected: Token<'_>) -> Option<()> {
        self.take_if(expected)?.then_some(())
    }

    fn name_if_there(&mut self) -> Option<Option<&'d str>> {
        Some(match self.peek()? {
            Some(Token::Name(name)) => {
                self.ahead = None;
                Some(name)
            }
            Some(_) | None => None,
        })
    }

    fn name(&mut self) -> Option<&'d str> {
        self.name_if_there()?
    }

    /// Selections up to their closing brace. Those of fragments without a name count as if they stood
    /// outside.
    fn selections(&mut self, into: &mut Vec<Selection<'d>>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        loop {
            match self.next()?? {
                Token::Mark('}') => return Some(()),
                Token::Name(name) => {
                    let is_alias = self.take_if(Token::Mark(':'))?;
                    into.push(Selection::Field(if is_alias { self.name()? } else { name }));
                    self.skip_arguments()?;
                    self.skip_directives()?;
                    if self.take_if(Token::Mark('{'))? {
                        self.skip_to_close('}')?;
                    }
                }
                Token::Spread => match self.name_if_there()? {
                    Some(name) if name != "on" => {
                        into.push(Selection::Spread(name));
                        self.skip_directives()?;
                    }
                    of_type => {
                        if of_type.is_some() {
                            self.name()?;
                        }
                        self.skip_directives()?;
                        self.expect(Token::Mark('{'))?;
                        self.selections(into, depth + 1)?;
                    }
                },
                Token::Mark(_) | Token::Literal => return None,
            }
        }
    }

    fn skip_directives(&mut self) -> Option<()> {
        while self.take_if(Token::Mark('@'))? {
            self.name()?;
            self.skip_arguments()?;
        }
        Some(())
    }

    fn skip_arguments(&mut self) -> Option<()> {
        if self.take_if(Token::Mark('('))? { self.skip_to_close(')') } else { Some(()) }
    }

    /// Everything up to the bracket that closes the one before.
    fn skip_to_close(&mut self, close: char) -> Option<()> {
        let mut open = vec![close];
        while let Some(&expected) = open.last() {
            match self.next()?? {
                Token::Mark('{') => open.push('}'),
                Token::Mark('(') => open.push(')'),
                Token::Mark('[') => open.push(']'),
                Token::Mark(mark @ ('}' | ')' | ']')) => {
                    if mark != expected {
                        return None;
                    }
                    open.pop();
                }
                Token::Mark(_) | Token::Name(_) | Token::Spread | Token::Literal => {}
            }
            if open.len() > DEPTH_MAX {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
