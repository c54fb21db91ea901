//! The tokens of GraphQL (October 2021, section 2.1).

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'d> {
    Mark(char),
    Name(&'d str),
    /// `...`
    Spread,
    /// A number or a string, whose value nobody asks for.
    Literal,
}

pub(super) struct Lexer<'d> {
    rest: &'d str,
}

impl<'d> Lexer<'d> {
    pub(super) fn new(document: &'d str) -> Self {
        Self { rest: document }
    }

    /// The next token, or that there is none; nothing at all where no token can be.
    pub(super) fn next(&mut self) -> Option<Option<Token<'d>>> {
        self.skip_ignored();
        let Some(first) = self.rest.chars().next() else { return Some(None) };
        let token = match first {
            '!' | '$' | '&' | '(' | ')' | ':' | '=' | '@' | '[' | ']' | '{' | '|' | '}' => {
                self.skip(1);
                Token::Mark(first)
            }
            '.' => {
                self.rest = self.rest.strip_prefix("...")?;
                Token::Spread
            }
            '"' => {
                self.string()?;
                Token::Literal
            }
            '-' | '0'..='9' => {
                self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
                Token::Literal
            }
            'A'..='Z' | 'a'..='z' | '_' => {
                Token::Name(self.run(|c| c.is_ascii_alphanumeric() || c == '_'))
            }
            _ => return None,
        };
        Some(Some(token))
    }

    /// Blanks, commas, a byte order mark and comments.
    fn skip_ignored(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', ',', '\u{feff}']);
            if !self.rest.starts_with('#') {
                return;
            }
            self.run(|c| !matches!(c, '\n' | '\r'));
        }
    }

    fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }

    /// Takes all characters up to the first that does not belong.
    fn run(&mut self, belongs: impl Fn(char) -> bool) -> &'d str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// A string, which ends in its line, or a block, which ends with three quotes.
    fn string(&mut self) -> Option<()> {
        if let Some(mut rest) = self.rest.strip_prefix("\"\"\"") {
            loop {
                let (before, behind) = rest.split_once("\"\"\"")?;
                rest = behind;
                if !before.ends_with('\\') {
                    self.rest = rest;
                    return Some(());
                }
            }
        }
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, next)) = chars.next() {
            match next {
                '"' => {
                    self.skip(at + 1);
                    return Some(());
                }
                '\\' => drop(chars.next()?),
                '\n' | '\r' => return None,
                _ => {}
            }
        }
        None
    }
}
