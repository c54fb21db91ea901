//! Cookies (RFC 6265, section 4.2), read as nginx reads them: the first with a name, its value as
//! written.

use std::borrow::Cow;

/// The value of a cookie in the value of the header.
pub(super) fn find<'a>(header: Cow<'a, str>, name: &str) -> Option<Cow<'a, str>> {
    match header {
        Cow::Borrowed(header) => find_in(header, name).map(Cow::Borrowed),
        Cow::Owned(header) => find_in(&header, name).map(|value| Cow::Owned(value.to_owned())),
    }
}

fn find_in<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let mut pairs = header.split(';').filter_map(|pair| pair.split_once('='));
    let blanks = [' ', '\t'];
    let (_, value) = pairs.find(|(own, _)| own.trim_matches(blanks) == name)?;
    Some(value.trim_matches(blanks))
}
