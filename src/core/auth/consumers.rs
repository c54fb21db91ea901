//! The consumers of a document, and by what they are known.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::basic;
use super::digest::Digest;
use super::jwt::{JwtCredential, Sources};
use crate::facts::Caller;
/// The consumers of a document, and by what they are known.
///
/// A key is looked for by its hash. How long that takes depends on the hash, so that time says nothing
/// about how much of a key was right.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    list: Vec<Consumer>,
    names: BTreeMap<Box<str>, usize>,
    keys: BTreeMap<Digest, Holder>,
    passwords: BTreeMap<Digest, Holder>,
    /// By what their tokens name them; that is no secret.
    tokens: BTreeMap<Box<str>, (Holder, JwtCredential)>,
    /// Where keys are that tokens are checked with.
    pub(crate) sources: Sources,
}

/// A consumer, as decisions and upstreams know it.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: Box<str>,
    /// The id of its group.
    pub(crate) group: Option<Box<str>>,
    /// Its label `custom_id`, if it can be sent.
    pub(crate) custom_id: Option<Box<str>>,
}

/// Who holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The number of the consumer.
    pub(crate) number: usize,
    /// The id of the credential, where it is not the consumer itself.
    pub(crate) credential: Option<Box<str>>,
}

/// A consumer that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    /// Its number among the consumers of the document.
    pub(crate) number: usize,
    /// Its name.
    pub(crate) name: &'a str,
    /// The id of its group.
    pub(crate) group: Option<&'a str>,
    /// What upstreams are told of it beside its name.
    pub(crate) custom_id: Option<&'a str>,
    /// The id of the credential it was recognised by.
    pub(crate) credential: Option<&'a str>,
    /// Whether it showed nothing that is right, and was taken for this consumer.
    pub(crate) is_anonymous: bool,
}

impl<'a> Known<'a> {
    /// What decisions can ask about it.
    pub(crate) fn caller(&self, earlier: Caller<'a>) -> Caller<'a> {
        let is_anonymous = self.is_anonymous;
        Caller { consumer: Some(self.name), group: self.group, is_anonymous, ..earlier }
    }
}

impl Consumers {
    /// Takes a consumer up; its number. One of the name there is must not be there yet.
    pub(crate) fn add(&mut self, consumer: Consumer) -> usize {
        let number = self.list.len();
        self.names.insert(consumer.name.clone(), number);
        self.list.push(consumer);
        number
    }

    /// The number of the consumer of this name.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Has a key be known as that of `holder`. If it is another consumer's, that one's name.
    pub(crate) fn hold_key(&mut self, key: Digest, holder: Holder) -> Result<(), &str> {
        match hold(&mut self.keys, key, holder) {
            Ok(()) => Ok(()),
            Err(other) => Err(self.name_of(other)),
        }
    }

    /// Has a password, hashed with its name, be known as that of `holder`. If it is another consumer's,
    /// that one's name.
    pub(crate) fn hold_password(&mut self, hash: Digest, holder: Holder) -> Result<(), &str> {
        match hold(&mut self.passwords, hash, holder) {
            Ok(()) => Ok(()),
            Err(other) => Err(self.name_of(other)),
        }
    }

    /// Has tokens that name `key` be known as those of `holder`, if they are signed as `credential` says. If
    /// it is another consumer's, that one's name.
    pub(crate) fn hold_token(
        &mut self,
        key: &str,
        holder: Holder,
        credential: JwtCredential,
    ) -> Result<(), &str> {
        match self.tokens.get(key).map(|(other, _)| other.number) {
            Some(other) if other != holder.number => return Err(self.name_of(other)),
            // What stands twice with one consumer is the first one's.
            Some(_) => {}
            None => drop(self.tokens.insert(key.into(), (holder, credential))),
        }
        Ok(())
    }

    /// Goes on with what `earlier` has got of the keys that others publish.
    pub(crate) fn follow(&self, earlier: &Self) {
        self.sources.follow(&earlier.sources);
    }

    /// Whose a token would be that names this key, and how it must be signed for that.
    pub(crate) fn by_token(&self, key: &str) -> Option<(Known<'_>, &JwtCredential)> {
        let (holder, credential) = self.tokens.get(key)?;
        Some((self.holder(holder)?, credential))
    }

    /// Who calls with this key.
    pub(crate) fn by_key(&self, key: &str) -> Option<Known<'_>> {
        self.holder(self.keys.get(&Digest::of_key(key))?)
    }

    /// Who calls with what this value of `Authorization` says, if it says something.
    pub(crate) fn by_password(&self, header: &str) -> Result<Option<Known<'_>>, basic::Malformed> {
        let hash = basic::credentials(header)?;
        Ok(self.passwords.get(&hash).and_then(|holder| self.holder(holder)))
    }

    /// Who somebody is taken for who shows nothing: the consumer of this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<Known<'_>> {
        let known = self.known(self.number(name)?, None)?;
        Some(Known { is_anonymous: true, ..known })
    }

    fn known<'a>(&'a self, number: usize, credential: Option<&'a str>) -> Option<Known<'a>> {
        let Consumer { name, group, custom_id } = self.list.get(number)?;
        let (group, custom_id) = (group.as_deref(), custom_id.as_deref());
        Some(Known { number, name, group, custom_id, credential, is_anonymous: false })
    }

    fn holder<'a>(&'a self, holder: &'a Holder) -> Option<Known<'a>> {
        self.known(holder.number, holder.credential.as_deref())
    }

    /// The name of a consumer by its number.
    pub(crate) fn name(&self, number: usize) -> Option<&str> {
        self.list.get(number).map(|consumer| &*consumer.name)
    }

    fn name_of(&self, number: usize) -> &str {
        self.list.get(number).map_or("", |consumer| &*consumer.name)
    }
}

/// Notes whose `what` is; if it is another consumer's, that one's number.
fn hold<K: Ord>(held: &mut BTreeMap<K, Holder>, what: K, holder: Holder) -> Result<(), usize> {
    match held.entry(what) {
        Entry::Occupied(other) if other.get().number != holder.number => Err(other.get().number),
        // What stands twice with one consumer is the first one's.
        Entry::Occupied(_) => Ok(()),
        Entry::Vacant(place) => {
            place.insert(holder);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumers() -> Consumers {
        let mut consumers = Consumers::default();
        let of = |name: &str, group: Option<&str>, custom_id: Option<&str>| Consumer {
            name: name.into(),
            group: group.map(Into::into),
            custom_id: custom_id.map(Into::into),
        };
        let jack = consumers.add(of("jack", Some("gold"), Some("17")));
        let jill = consumers.add(of("jill", None, None));
        let holder = |number, credential: Option<&str>| Holder {
            number,
            credential: credential.map(Into::into),
        };
        consumers.hold_key(Digest::of_key("jacks"), holder(jack, None)).unwrap();
        consumers.hold_key(Digest::of_key("other"), holder(jack, Some("c1"))).unwrap();
        let password = Digest::of_password("j", "jills");
        consumers.hold_password(password, holder(jill, Some("c2"))).unwrap();
        consumers
    }

    #[test]
    fn consumers_are_known_by_what_they_and_their_credentials_hold() {
        let consumers = consumers();
        let jack = Known {
            number: 0,
            name: "jack",
            group: Some("gold"),
            custom_id: Some("17"),
            credential: None,
            is_anonymous: false,
        };
        assert_eq!(consumers.by_key("jacks"), Some(jack));
        assert_eq!(consumers.by_key("other"), Some(Known { credential: Some("c1"), ..jack }));
        assert_eq!(consumers.by_name("jack"), Some(Known { is_anonymous: true, ..jack }));
        // `j:jills` and `j:jacks`.
        let jill = consumers.by_password("Basic ajpqaWxscw==").unwrap().unwrap();
        assert_eq!((jill.name, jill.group, jill.credential), ("jill", None, Some("c2")));
        assert_eq!(consumers.by_password("Basic ajpqYWNrcw=="), Ok(None));
        assert!(consumers.by_password("Bearer x").is_err());
        for unknown in ["", "jack", "jack", "Jacks", "jacks ", "j:jills", "jills"] {
            assert_eq!(consumers.by_key(unknown), None, "{unknown}");
        }
        assert_eq!(consumers.by_name("joe"), None);
    }

    /// Whoever reads a hash has no key: what a client sends is hashed, whatever it looks like.
    #[test]
    fn a_hash_is_no_key() {
        let consumers = consumers();
        let hash = Digest::of_key("jacks").written();
        assert_eq!(consumers.by_key(&hash), None);
        assert_eq!(consumers.by_key(hash.strip_prefix("sha256:").unwrap()), None);
    }

    /// What is not there cannot be compared with, nor printed.
    #[test]
    fn no_key_is_kept() {
        let text = format!("{:?}", consumers());
        assert!(text.contains("jack"), "{text}");
        for key in ["jacks", "other", "jills"] {
            assert!(!text.contains(key), "{text}");
        }
    }

    #[test]
    fn one_key_is_one_consumers() {
        let mut consumers = consumers();
        let of = |number| Holder { number, credential: None };
        let key = Digest::of_key("jacks");
        assert_eq!(consumers.hold_key(key, of(1)), Err("jack"));
        assert_eq!(consumers.hold_key(key, of(0)), Ok(()));
        assert_eq!(consumers.by_key("jacks").unwrap().name, "jack");
        // A key and a password are different things, even where their hashes are one.
        assert_eq!(consumers.hold_password(key, of(1)), Ok(()));
    }
}
