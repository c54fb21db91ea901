//! From PCRE's syntax to that of the engine: what both write alike is kept, what only PCRE can say is
//! refused by name, and what each would understand differently is rewritten.

use std::str::Chars;

/// Rewrites a pattern, or says what in it cannot be had.
pub(super) fn translate(text: &str) -> Result<String, String> {
    let mut reader = Reader { rest: text.chars(), out: String::with_capacity(text.len()) };
    while let Some(next) = reader.rest.next() {
        match next {
            '\\' => reader.escape(false).map(drop)?,
            '[' => reader.class()?,
            '(' => reader.group()?,
            '{' => reader.brace()?,
            '*' | '+' | '?' => {
                reader.out.push(next);
                reader.after_quantifier(next)?;
            }
            _ => reader.out.push(next),
        }
    }
    Ok(reader.out)
}

fn cannot(what: &str) -> String {
    format!("{what} cannot be had: patterns run in linear time")
}

/// What an element of a class stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    /// One character, which may begin a range.
    One,
    /// Several, which may not.
    Many,
}

struct Reader<'t> {
    rest: Chars<'t>,
    out: String,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let rest = self.rest.as_str().strip_prefix(prefix).map(str::chars);
        self.rest = rest.clone().unwrap_or_else(|| self.rest.clone());
        rest.is_some()
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) -> Result<Item, String> {
        let Some(next) = self.rest.next() else {
            return Err("a pattern cannot end with a backslash".to_owned());
        };
        let one = match next {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                self.out.extend(['\\', next]);
                return Ok(Item::Many);
            }
            'h' => {
                self.out.push_str(if in_class { "\\t " } else { "[\\t ]" });
                return Ok(Item::Many);
            }
            // The engine takes these for the ends of words.
            '<' | '>' => {
                self.out.push(next);
                return Ok(Item::One);
            }
            'e' => "\\x1B",
            '0' => return Err(r"the octal escape `\0` cannot be had; write `\x00`".to_owned()),
            '1'..='9' if in_class => {
                return Err(format!(r"the octal escape `\{next}` cannot be had"));
            }
            '1'..='9' | 'g' | 'k' => return Err(cannot(&format!(r"the back reference `\{next}`"))),
            'p' | 'P' | 'X' => return Err(format!(r"the Unicode class `\{next}` cannot be had")),
            'Q' | 'E' => {
                return Err(format!(
                    r"the quotation `\{next}` cannot be had; escape each character"
                ));
            }
            'v' => return Err(r"`\v` cannot be had; write `[\n\x0B\f\r]`".to_owned()),
            'Z' => return Err(r"`\Z` cannot be had; write `\n?$`".to_owned()),
            'x' => return self.hexadecimal(),
            'b' if in_class => "\\x08",
            'b' if self.peek() == Some('{') => return Err(r"`\b{` cannot be had".to_owned()),
            'a' | 'f' | 'n' | 'r' | 't' | 'A' | 'z' | 'b' | 'B' => {
                self.out.extend(['\\', next]);
                return Ok(Item::One);
            }
            _ if next.is_ascii_alphabetic() => return Err(format!(r"`\{next}` cannot be had")),
            _ if next.is_ascii() => {
                self.out.extend(['\\', next]);
                return Ok(Item::One);
            }
            _ => {
                self.out.push(next);
                return Ok(Item::One);
            }
        };
        self.out.push_str(one);
        Ok(Item::One)
    }

    /// `\xhh` and `\x{h..}`: beyond ASCII they are bytes in PCRE and characters in the engine.
    fn hexadecimal(&mut self) -> Result<Item, String> {
        let rest = self.rest.as_str();
        let digits = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').map(|(digits, _)| (digits, digits.len() + 2)),
            None => {
                let count = rest.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
                rest.get(..count).map(|digits| (digits, count))
            }
        };
        let code = digits.and_then(|(digits, _)| u32::from_str_radix(digits, 16).ok());
        let written = digits.and_then(|(_, length)| rest.get(..length)).unwrap_or_default();
        match code {
            Some(code @ 0..=0x7f) => {
                self.skip(written);
                self.out.push_str(&format!("\\x{code:02X}"));
                Ok(Item::One)
            }
            Some(_) => Err(format!(r"`\x{written}` cannot be had; write the character itself")),
            None => Err(r"`\x` must be followed by hexadecimal digits".to_owned()),
        }
    }

    /// A class, behind its `[`.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        if self.skip("]") {
            self.out.push_str("\\]");
        }
        let mut last = None;
        while let Some(next) = self.rest.next() {
            last = Some(match next {
                ']' => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' if self.rest.as_str().starts_with([':', '.', '=']) => {
                    self.posix_class()?;
                    Item::Many
                }
                '-' if last != Some(Item::One) || self.is_no_range() => {
                    self.out.push_str("\\-");
                    Item::One
                }
                // What is behind a range is no beginning of another.
                '-' => {
                    self.out.push('-');
                    self.end_of_range()?;
                    Item::Many
                }
                _ => {
                    self.literal(next);
                    Item::One
                }
            });
        }
        Err("a character class has no closing `]`".to_owned())
    }

    fn literal(&mut self, next: char) {
        if matches!(next, '[' | '&' | '~' | '-') {
            self.out.push('\\');
        }
        self.out.push(next);
    }

    /// Whether the `-` before this is one for itself: last of its class, or before several characters.
    fn is_no_range(&self) -> bool {
        let rest = self.rest.as_str();
        const MANY: [&str; 9] = ["]", "[:", r"\d", r"\D", r"\s", r"\S", r"\w", r"\W", r"\h"];
        MANY.iter().any(|many| rest.starts_with(many))
    }

    fn end_of_range(&mut self) -> Result<(), String> {
        match self.rest.next() {
            Some('\\') => self.escape(true).map(drop),
            Some(next) => {
                self.literal(next);
                Ok(())
            }
            None => Err("a character class has no closing `]`".to_owned()),
        }
    }

    fn posix_class(&mut self) -> Result<(), String> {
        let rest = self.rest.as_str();
        let name = rest.strip_prefix(':').and_then(|rest| rest.split_once(":]"));
        let Some((name, _)) = name else {
            return Err(
                "`[:`, `[.` and `[=` in a class begin a POSIX class; write `\\[`".to_owned()
            );
        };
        let written = format!(":{name}:]");
        self.skip(&written);
        self.out.push('[');
        self.out.push_str(&written);
        Ok(())
    }

    /// A group, behind its `(`.
    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.peek() == Some('*') {
            return Err("the verb `(*` cannot be had".to_owned());
        }
        if !self.skip("?") {
            return Ok(());
        }
        let rest = self.rest.as_str();
        const CANNOT: [(&str, &str); 11] = [
            ("=", "look-ahead"),
            ("!", "look-ahead"),
            ("<=", "look-behind"),
            ("<!", "look-behind"),
            (">", "the atomic group"),
            ("P=", "the back reference"),
            ("P>", "the recursion"),
            ("&", "the recursion"),
            ("R", "the recursion"),
            ("(", "the conditional group"),
            ("|", "the branch reset"),
        ];
        for (mark, named) in CANNOT {
            if rest.starts_with(mark) {
                return Err(cannot(&format!("{named} `(?{mark}`")));
            }
        }
        let number = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        if let Some(digit) = number.chars().next().filter(char::is_ascii_digit) {
            return Err(cannot(&format!("the recursion `(?{digit}`")));
        }
        if rest.starts_with('#') {
            return Err("the comment `(?#` cannot be had".to_owned());
        }
        self.out.push('?');
        self.flags()
    }

    /// The flags and the name of a group.
    fn flags(&mut self) -> Result<(), String> {
        if self.skip("P<") || self.skip("<") {
            self.out.push_str("P<");
            return Ok(());
        }
        for next in self.rest.by_ref() {
            match next {
                'i' | 'm' | 's' | 'U' | '-' => self.out.push(next),
                ':' | ')' => {
                    self.out.push(next);
                    return Ok(());
                }
                'x' => {
                    return Err(
                        "the flag `x` cannot be had; write the pattern without blanks".to_owned()
                    );
                }
                _ => return Err(format!("the flag `{next}` of a group cannot be had")),
            }
        }
        Err("a group has no closing `)`".to_owned())
    }

    /// A repetition `{n}`, `{n,}`, `{n,m}`; any other brace is one for itself.
    fn brace(&mut self) -> Result<(), String> {
        let inner = self.rest.as_str().split_once('}').map(|(inner, _)| inner);
        let Some(inner) = inner.filter(|inner| is_count(inner)) else {
            self.out.push_str("\\{");
            return Ok(());
        };
        let written = format!("{inner}}}");
        self.skip(&written);
        self.out.push('{');
        self.out.push_str(&written);
        self.after_quantifier('}')
    }

    /// What may follow a quantifier: one `?`, which makes it lazy, and no other.
    fn after_quantifier(&mut self, quantifier: char) -> Result<(), String> {
        if self.peek() == Some('+') {
            return Err(cannot(&format!("the possessive quantifier `{quantifier}+`")));
        }
        if self.skip("?") {
            self.out.push('?');
        }
        match self.peek() {
            Some(next @ ('*' | '+' | '?')) => {
                Err(format!("there is nothing to repeat before `{next}`"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn is_count(inner: &str) -> bool {
    let (min, max) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !min.is_empty() && digits(min) && digits(max)
}
