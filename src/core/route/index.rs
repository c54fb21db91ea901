//! Long lists of candidates, by what can be looked up of a request at once.
//!
//! Under one path there can be as many candidates as a document has routes: one for each host where a
//! host is only a condition, one for each `/:tenant/something` where paths have parameters. Of such a
//! list only those are asked whose host and whose literal segments are the request's.
//!
//! Candidates are grouped by a hash over these texts (tuple space search: Srinivasan, Suri and Varghese,
//! "Packet Classification using Tuple Space Search", SIGCOMM 1999): for each combination of places that
//! candidates have texts at, the request's texts at these places are one look-up. Groups hold candidates
//! in the order of the list and are merged in it. An index only leaves out what would be refused:
//! whoever is found is still asked, so that two texts of one hash do no harm.

use siphasher::sip::SipHasher13;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use super::conditions::{HOST_MAX, has_port};
use super::forest::small;
use super::pattern::Pattern;
use crate::facts::Facts;

/// Lists that are not longer are asked one by one.
pub(super) const FEW: usize = 8;

/// So many groups of one request are merged; nested wildcards or shapes make more than one.
const MERGED_MAX: usize = 16;

/// A long list.
#[derive(Debug)]
pub(super) struct Index {
    /// How many bytes of the path have no parameter in them, which all patterns of a list share.
    lead: usize,
    /// Where there are texts to be looked up.
    places: Box<[(Shape, Box<[Place]>)]>,
    /// By hash: where the members of each group stand.
    groups: Box<[(u64, u32, u32)]>,
    /// Numbers of candidates, ascending in each group.
    members: Box<[u32]>,
}

/// A candidate that is to be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'c> {
    pub(super) candidate: u32,
    pub(super) pattern: Option<&'c Pattern>,
    /// What its host is looked up by; any host if empty.
    pub(super) hosts: &'c [String],
}

/// At which segments behind the lead a pattern has literal ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Shape {
    /// Segments from the front, as bits.
    front: u32,
    /// Segments from the end, as bits.
    back: u32,
    /// The segment at which an open end begins, and how many bytes of it are literal.
    open: Option<(u32, u32)>,
}

/// Which part of a request's host a host is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Anywhere,
    Whole { has_port: bool },
    End { has_port: bool, first: u8, length: u32 },
}

impl Index {
    /// The index of a list, unless it would not tell its candidates apart. `places_left` is how many
    /// combinations of candidate and host may still be held; without any left hosts are not looked up.
    pub(super) fn of(entries: &[Entry<'_>], places_left: &mut usize) -> Option<Self> {
        let count = entries.iter().map(|entry| entry.hosts.len()).sum();
        let left = places_left.checked_sub(count);
        *places_left = left.unwrap_or(*places_left);
        let mut places: BTreeMap<Shape, BTreeSet<Place>> = BTreeMap::new();
        let mut members = Vec::new();
        for entry in entries {
            let shape = entry.pattern.map(Shape::of).unwrap_or_default();
            let Some(key) = shape.key_of(entry.pattern) else { continue };
            let places = places.entry(shape).or_default();
            let hosts = entry.hosts.iter().filter(|_| left.is_some());
            let hosts = hosts.map(|host| Place::of(host));
            let any = entry.hosts.is_empty() || left.is_none();
            for (place, text) in hosts.chain(any.then_some((Place::Anywhere, &b""[..]))) {
                places.insert(place);
                members.push((place.hash_in(key, text), entry.candidate));
            }
        }
        members.sort_unstable();
        members.dedup();
        let mut groups = Vec::new();
        let mut end = 0;
        for group in members.chunk_by(|(a, _), (b, _)| a == b) {
            let start = end;
            end += group.len();
            groups.extend(group.first().map(|(hash, _)| (*hash, small(start), small(end))));
        }
        let lead = entries.iter().find_map(|entry| entry.pattern).map_or(0, Pattern::lead_length);
        let places =
            places.into_iter().map(|(shape, places)| (shape, places.into_iter().collect()));
        (groups.len() > 1).then(|| Self {
            lead,
            places: places.collect(),
            groups: groups.into(),
            members: members.into_iter().map(|(_, candidate)| candidate).collect(),
        })
    }

    /// The candidates that may take a request, in the order of the list; none if there are too many
    /// groups of them.
    pub(super) fn get(&self, path: &[u8], facts: &Facts<'_>) -> Option<Merged<'_>> {
        let mut merged = Merged::default();
        let path = path.get(self.lead..)?;
        for (shape, places) in &self.places {
            let Some(key) = shape.key(path) else { continue };
            for place in places {
                let Some(text) = place.text(facts) else { continue };
                if let Some(group) = self.group(place.hash_in(key, text)) {
                    *merged.0.get_mut(merged.1)? = group;
                    merged.1 += 1;
                }
            }
        }
        Some(merged)
    }

    fn group(&self, hash: u64) -> Option<&[u32]> {
        let at = self.groups.binary_search_by_key(&hash, |(own, ..)| *own).ok()?;
        let (_, start, end) = self.groups.get(at)?;
        self.members.get(*start as usize..*end as usize)
    }
}

/// Groups that are told as one, each of their members once.
#[derive(Debug, Default)]
pub(super) struct Merged<'i>([&'i [u32]; MERGED_MAX], usize);

impl Iterator for Merged<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let groups = self.0.get_mut(..self.1)?;
        let next = *groups.iter().filter_map(|group| group.first()).min()?;
        for group in groups {
            *group = group.strip_prefix(&[next]).unwrap_or(group);
        }
        Some(next)
    }
}

impl Shape {
    fn of(pattern: &Pattern) -> Self {
        let open = pattern.open().map(|(segment, text)| (small(segment), small(text.len())));
        Self { front: bits(pattern.front()), back: bits(pattern.back()), open }
    }

    /// The hash of a pattern's own texts.
    fn key_of(&self, pattern: Option<&Pattern>) -> Option<SipHasher13> {
        let mut key = self.begin();
        let Some(pattern) = pattern else { return Some(key) };
        put(&mut key, self.front, pattern.front().map(Option::unwrap_or_default))?;
        put(&mut key, self.back, pattern.back().map(Option::unwrap_or_default))?;
        key.write(pattern.open().map(|(_, text)| text).unwrap_or_default());
        Some(key)
    }

    /// The hash of the texts that a path, from behind the lead, has at the same places.
    fn key(&self, path: &[u8]) -> Option<SipHasher13> {
        let mut key = self.begin();
        put(&mut key, self.front, path.split(|b| *b == b'/'))?;
        put(&mut key, self.back, path.rsplit(|b| *b == b'/'))?;
        if let Some((segment, length)) = self.open {
            let segment = segment as usize;
            let end = path.splitn(segment + 1, |b| *b == b'/').nth(segment)?;
            key.write(end.get(..length as usize)?);
        }
        Some(key)
    }

    fn begin(&self) -> SipHasher13 {
        let mut key = SipHasher13::new();
        self.hash(&mut key);
        key
    }
}

/// Where there are literal segments, as far as there are bits.
fn bits<'p>(segments: impl Iterator<Item = Option<&'p [u8]>>) -> u32 {
    let literal = segments.zip(0..u32::BITS).filter(|(segment, _)| segment.is_some());
    literal.fold(0, |bits, (_, at)| bits | 1 << at)
}

/// Hashes those segments that have a bit, if there are as many.
fn put<'p>(
    key: &mut SipHasher13,
    bits: u32,
    mut segments: impl Iterator<Item = &'p [u8]>,
) -> Option<()> {
    for at in 0..u32::BITS - bits.leading_zeros() {
        let segment = segments.next()?;
        if bits & (1 << at) != 0 {
            key.write(segment);
            key.write_u8(b'/');
        }
    }
    Some(())
}

impl Place {
    /// Where a host as it is written is looked up, and its text.
    fn of(host: &str) -> (Self, &[u8]) {
        let has_port = has_port(host);
        let Some(end) = host.strip_prefix('*') else {
            return (Self::Whole { has_port }, host.as_bytes());
        };
        let end = end.as_bytes();
        let place = end.first().map_or(Self::Anywhere, |first| Self::End {
            has_port,
            first: first.to_ascii_lowercase(),
            length: small(end.len()),
        });
        (place, end)
    }

    /// What a request has there.
    fn text<'f>(self, facts: &'f Facts<'_>) -> Option<&'f [u8]> {
        let host = |has_port| match has_port {
            true => facts.head.host().as_bytes(),
            false => facts.host().as_bytes(),
        };
        match self {
            Self::Anywhere => Some(b""),
            _ if facts.host().len() > HOST_MAX => None,
            Self::Whole { has_port } => Some(host(has_port)),
            Self::End { has_port, first, length } => {
                let host = host(has_port);
                let start = host.len().checked_sub(length as usize)?;
                let end = host.get(start..)?;
                end.first().is_some_and(|own| own.to_ascii_lowercase() == first).then_some(end)
            }
        }
    }

    fn hash_in(self, mut key: SipHasher13, text: &[u8]) -> u64 {
        self.hash(&mut key);
        for byte in text {
            key.write_u8(byte.to_ascii_lowercase());
        }
        key.finish()
    }
}
