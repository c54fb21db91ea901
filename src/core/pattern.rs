//! Regular expressions as APISIX's users write them: PCRE's syntax, as far as it can be had in linear
//! time, and the same on every runtime.
//!
//! What cannot be had (look-around, back references, atomic groups, ...) is refused by name, and so is
//! what would be understood differently in silence; [`pcre`] sees to both. Three differences remain,
//! none of which a pattern shows: text is a sequence of characters and not of bytes (`^.$` takes `é`);
//! `$` is the very end of the text and not also the place before a final line break; and what a group
//! inside a repetition captured is as in Rust where the two disagree.
//!
//! Matching takes time in proportion to the size of the automaton times the length of the text, of which
//! clients choose one. So that this stays below some 30 ms, a pattern sees only the beginning of a text
//! that is too long for it: 512 KiB for a few letters, 64 KiB for an automaton of 2 KiB (a dozen words),
//! 2 KiB for one of 64 KiB, the largest there is (some hundred repetitions of a class). What it finds
//! there is found; but what has to stand at the end of the text (`$`, `\z`) is not.

mod pcre;

use regex_lite::{Regex, RegexBuilder};

/// How long a pattern may be, in bytes.
const TEXT_MAX: usize = 4096;

/// How large an automaton can be at least and may be at most, in bytes. Sizes are powers of two: the
/// library tells only whether a limit was kept.
const SIZES: std::ops::RangeInclusive<u32> = 8..=16;

/// How large the product of an automaton's size and a text's length may be, in square bytes. One takes
/// about 0.1 to 0.2 ns.
const WORK_MAX: usize = 128 * 1024 * 1024;

/// By how many groups the work doubles: what each captured is copied at each step.
const GROUPS_PER_SIZE: usize = 50;

/// A checked pattern. It is not anchored, as in PCRE.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    ignore_case: bool,
    regex: Regex,
    /// How much of a text it sees, in bytes.
    seen_max: usize,
    /// Whether it may ask where the text ends.
    asks_for_end: bool,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.ignore_case == other.ignore_case
    }
}

impl Pattern {
    /// The pattern that this text is, or what is wrong with the text.
    pub(crate) fn compile(text: &str, ignore_case: bool) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err(format!(
                "a pattern of {} bytes is too long; {TEXT_MAX} at most",
                text.len()
            ));
        }
        let (regex, size) = automaton(&pcre::translate(text)?, ignore_case)?;
        Ok(Self {
            text: text.into(),
            ignore_case,
            seen_max: WORK_MAX / size / (1 + regex.captures_len() / GROUPS_PER_SIZE),
            asks_for_end: text.contains('$') || text.contains("\\z"),
            regex,
        })
    }

    /// Whether it occurs in the text, or in as much of it as it sees.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        match self.seen(text) {
            None => self.regex.is_match(text),
            Some(seen) => self.regex.find(seen).is_some_and(|m| self.stands(m.end(), seen)),
        }
    }

    /// What it takes and captures where it occurs first, in as much of the text as it sees.
    pub(crate) fn captures<'h>(&self, text: &'h str) -> Option<Captures<'h>> {
        match self.seen(text) {
            None => self.regex.captures(text).map(Captures),
            Some(seen) => {
                let found = self.regex.captures(seen).map(Captures)?;
                self.stands(found.range().end, seen).then_some(found)
            }
        }
    }

    /// The beginning of a text that is too long to be seen whole.
    fn seen<'h>(&self, text: &'h str) -> Option<&'h str> {
        if text.len() <= self.seen_max {
            return None;
        }
        text.get(..text.floor_char_boundary(self.seen_max))
    }

    /// Whether a match stands that ends there in a beginning: not, if it may have taken the cut for the
    /// end of the text.
    fn stands(&self, end: usize, seen: &str) -> bool {
        end < seen.len() || !self.asks_for_end
    }

    /// How many groups it captures, with the whole match as the first.
    pub(crate) fn captures_count(&self) -> usize {
        self.regex.captures_len()
    }
}

/// The automaton of a translated pattern, and the size it has at most, in bytes.
fn automaton(translated: &str, ignore_case: bool) -> Result<(Regex, usize), String> {
    let mut builder = RegexBuilder::new(translated);
    builder.case_insensitive(ignore_case);
    let mut why = String::new();
    for size in SIZES.map(|exponent| 1_usize << exponent) {
        match builder.size_limit(size).build() {
            Ok(regex) => return Ok((regex, size)),
            Err(error) => why = error.to_string(),
        }
    }
    Err(format!("invalid pattern: {why}"))
}

/// One occurrence of a pattern in a text.
#[derive(Debug)]
pub(crate) struct Captures<'h>(regex_lite::Captures<'h>);

impl<'h> Captures<'h> {
    /// What the group with this number took, if it took part; 0 is the whole match.
    pub(crate) fn get(&self, number: usize) -> Option<&'h str> {
        self.0.get(number).map(|group| group.as_str())
    }

    /// Where the whole match begins and ends, in bytes.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        // Group 0 is there in every match.
        self.0.get(0).map(|whole| whole.range()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        Pattern::compile(pattern, false)
            .unwrap_or_else(|why| panic!("{pattern}: {why}"))
            .is_match(text)
    }

    #[test]
    fn a_pattern_is_understood_as_by_pcre() {
        for (pattern, text, expected) in [
            ("b", "abc", true),
            ("^b", "abc", false),
            ("^[1-9]{1,2}", "22", true),
            (r"^\d+$", "\u{663}", false),
            (r"^\w+$", "a_1", true),
            (r"^\w+$", "\u{e9}", false),
            (r"^[\w-.]+$", "a-b.c", true),
            (r"^[.-\d]+$", ".-7", true),
            ("[[]", "[", true),
            ("^[a&&b]+$", "a&b", true),
            ("^[[:alpha:]_]+$", "ab_", true),
            (r"\<b\>", "<b>", true),
            (r"\<b\>", "a b c", false),
            ("^{id}$", "{id}", true),
            ("^a{,3}$", "a{,3}", true),
            ("^a{2}$", "aa", true),
            (r"^\h+$", " \t", true),
            (r"^[\h]$", "\t", true),
            ("(?i)JACK", "jack", true),
            ("(?i:J)ack", "Jack", true),
            ("a|", "", true),
            (r"\e", "\u{1b}", true),
            (r"^a]b}$", "a]b}", true),
            ("^[]a]+$", "]a", true),
            ("^[^]a]+$", "b", true),
            ("^a+?b??c*?$", "aabc", true),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
        assert!(Pattern::compile("A", true).unwrap().is_match("a"));
        assert!(!Pattern::compile("A", false).unwrap().is_match("a"));
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        for (pattern, named) in [
            ("^(?!admin)", "look-ahead `(?!`"),
            ("a(?=b)", "look-ahead `(?=`"),
            ("(?<=a)b", "look-behind `(?<=`"),
            ("(?<!a)b", "look-behind `(?<!`"),
            (r"(a)\1", r"back reference `\1`"),
            (r"(?<n>a)\k<n>", r"back reference `\k`"),
            (r"(a)\g{1}", r"back reference `\g`"),
            ("(?P<n>a)(?P=n)", "back reference `(?P=`"),
            ("(?>a+)b", "atomic group `(?>`"),
            ("a++b", "possessive quantifier `++`"),
            ("a{1,2}+", "possessive quantifier `}+`"),
            ("(?R)", "recursion `(?R`"),
            ("(a)(?1)", "recursion `(?1`"),
            ("(?(1)a|b)", "conditional group `(?(`"),
            ("(?|a|b)", "branch reset `(?|`"),
            ("(*UTF8)a", "verb `(*`"),
            ("(?#note)a", "comment `(?#`"),
            ("(?x)a b", "flag `x`"),
            ("(?u)a", "flag `u`"),
            (r"\p{L}", r"Unicode class `\p`"),
            (r"\Qa.b\E", r"quotation `\Q`"),
            (r"\v", r"`\v`"),
            (r"\xe9", r"`\xe9`"),
            (r"\x{1F600}", r"`\x{1F600}`"),
            (r"\u0041", r"`\u`"),
            (r"a\Z", r"`\Z`"),
            (r"a\Kb", r"`\K`"),
            (r"\R", r"`\R`"),
            (r"\012", r"octal escape `\0`"),
            ("a**", "nothing to repeat"),
            (r"\b{start}", r"`\b{`"),
        ] {
            let why = Pattern::compile(pattern, false).expect_err(pattern);
            assert!(why.contains(named), "{pattern}: {why}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        for pattern in
            ["(", "[", "a{", r"\", "[a", "(?", "(?<", "a{99999}", "((((a{50}){50}){50}){50}){50}"]
        {
            let _ = Pattern::compile(pattern, false);
        }
        assert!(Pattern::compile("((a{500}){500}){500}", false).is_err());
        assert!(Pattern::compile(&"(".repeat(4000), false).is_err());
        assert!(Pattern::compile(&"a".repeat(TEXT_MAX + 1), false).is_err());
    }

    /// The work for a text is bounded: the larger the automaton, the less of a long text is seen.
    #[test]
    fn a_long_text_is_seen_up_to_a_bound() {
        let compile = |text: &str| Pattern::compile(text, false).expect(text);
        for (text, least) in [
            ("hello", 256 * 1024),
            ("^(curl|wget|python-requests)/", 64 * 1024),
            (r"(?i)\b(select|union|insert|update|delete|drop)\b.*\b(from|into|table)\b", 32 * 1024),
            ("^.{1,255}$", 4096),
            ("^[A-Za-z0-9_-]{20,512}$", 2048),
        ] {
            let pattern = compile(text);
            assert!(pattern.seen_max >= least, "{text}: {}", pattern.seen_max);
        }
        let slow = compile("(a|b|ab){200}c");
        assert_eq!(slow.seen_max, 2048);
        assert!(Pattern::compile("(a|b|ab){400}c", false).is_err(), "larger than any may be");
        let groups = compile(&"(a)?".repeat(200));
        assert!(groups.seen_max < 1024, "{}", groups.seen_max);

        let long = format!("{}c{}", "ab".repeat(200), "é".repeat(2048));
        assert!(slow.is_match(&long));
        assert_eq!(slow.captures(&long).map(|found| found.range()), Some(0..401));
        assert!(!slow.is_match(&format!("{}{long}", "é".repeat(2048))), "behind what is seen");
    }

    #[test]
    fn the_cut_of_a_long_text_is_not_its_end() {
        let seen_max = Pattern::compile("^a+$", false).unwrap().seen_max;
        let long = "a".repeat(seen_max + 1);
        for (pattern, expected) in [("^a+$", false), (r"^a+\z", false), ("a+", true), ("^a", true)]
        {
            assert_eq!(is_match(pattern, &long), expected, "{pattern}");
            let pattern = Pattern::compile(pattern, false).unwrap();
            assert_eq!(pattern.captures(&long).is_some(), expected);
        }
        assert!(is_match("^a+$", &long[1..]));
        assert!(is_match("^a+$|^b", &format!("b{long}")), "what is found before the cut is found");
    }

    #[test]
    fn the_first_match_can_be_taken_apart() {
        let pattern = Pattern::compile("^/api/(v[0-9])/(.*?)(x)?$", false).unwrap();
        let captures = pattern.captures("/api/v1/a/b").unwrap();
        assert_eq!(captures.get(1), Some("v1"));
        assert_eq!(captures.get(2), Some("a/b"));
        assert_eq!(captures.get(3), None);
        assert_eq!(captures.get(9), None);
        assert_eq!(captures.range(), 0..11);
        assert_eq!(pattern.captures_count(), 4);
        assert!(pattern.captures("/other").is_none());
    }

    /// Whatever the text, there is an answer; the seed is fixed.
    #[test]
    fn garbage_never_panics() {
        const PIECES: [&str; 28] = [
            "(", ")", "[", "]", "{", "}", "\\", "?", "*", "+", "|", "^", "$", ".", "-", ":", "a",
            "1", "é", "<", ">", "=", "!", "P", "x", "&", "~", ",",
        ];
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(PIECES[(state >> 33) as usize % PIECES.len()]);
            }
            if let Ok(pattern) = Pattern::compile(&text, false) {
                pattern.is_match("a1é<>\n");
            }
        }
    }
}
