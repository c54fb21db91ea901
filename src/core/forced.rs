//! Forced branches: who may say on which branch a request goes, and how they say it.
//!
//! A request names a branch in a header or a cookie. From networks that the rule lists the bare name is
//! enough; from anywhere else it takes a token that this deployment has signed ([`crate::seal`]).

use ipnet::IpNet;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;

use crate::address::{is_in, network};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::head::{Edits, Text, is_header_name};
use crate::id::Id;
use crate::seal::{Refused, Secret, is_like_token, verify};
use crate::time::Timestamp;

/// The most networks of a rule.
const NETWORKS_MAX: usize = 64;
/// The most bytes of the name of a header or cookie.
const NAME_MAX: usize = 256;
/// The header that counts where neither header nor cookie is named.
const HEADER: &str = "x-splitway-branch";

/// The member `override` of a rule.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("anyOf" = serde_json::json!([
        {"required": ["addresses"]},
        {"required": ["tokens"], "properties": {"tokens": {"const": true}}},
    ])))
)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverrideWire {
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = NAME_MAX), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))
    )]
    header: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = NAME_MAX), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))
    )]
    cookie: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = NETWORKS_MAX), extend("uniqueItems" = true))
    )]
    addresses: Option<Vec<String>>,
    tokens: Option<bool>,
}

/// Who may choose a branch, and where they say which.
#[derive(Debug)]
pub(crate) struct Override {
    /// By its lower-case name.
    header: Option<Box<str>>,
    cookie: Option<Box<str>>,
    networks: Box<[IpNet]>,
    takes_tokens: bool,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Forced<'a> {
    /// This branch, and it may; whether there is one of that name is another question.
    Branch(Cow<'a, str>),
    /// It names something and may not.
    Denied(Denied),
    /// It names nothing.
    Unasked,
}

/// Why a request may not choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The bare name of a branch, from an address that needs a token.
    Address,
    /// A token, and this deployment has no secret to check it with.
    NoSecret,
    /// Neither the name of a branch nor a token.
    Nonsense,
    /// The token does not count.
    Token(Refused),
    /// A token, and the rule takes none.
    TokensOff,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "a bare name is not taken from this address",
            Self::NoSecret => "there is no secret to check tokens with",
            Self::Nonsense => "neither the name of a branch nor a token",
            Self::Token(Refused::Expired) => "the time of the token is over",
            Self::Token(Refused::Forged) => "the token was not signed here",
            Self::Token(Refused::Malformed) => "this has not the form of a token",
            Self::Token(Refused::OtherRoute) => "the token is for another route",
            Self::TokensOff => "tokens are not taken here",
        })
    }
}

impl Override {
    /// Checks what a rule says in `override`.
    pub(crate) fn compile(wire: &OverrideWire, at: At<'_>, report: &mut Report) -> Option<Self> {
        let faults_before = report.faults.len();
        for (key, name) in [("header", &wire.header), ("cookie", &wire.cookie)] {
            let is_name = |name: &String| name.len() <= NAME_MAX && is_header_name(name);
            if !name.as_ref().is_none_or(is_name) {
                report.fault(at.key(key), format!("expected the name of a {key}"));
            }
        }
        let takes_tokens = wire.tokens.unwrap_or(false);
        if wire.addresses.is_none() && !takes_tokens {
            let what = "expected `addresses` or `tokens: true`: without them anybody could choose a \
                        branch, or nobody";
            report.fault(at, what);
        }
        let addresses = wire.addresses.as_deref();
        let networks = compile_networks(addresses, at.key("addresses"), report);
        let default = wire.cookie.is_none().then_some(HEADER);
        let header = wire.header.as_deref().or(default);
        let is_sound = report.faults.len() == faults_before;
        is_sound.then(|| Self {
            header: header.map(|name| name.to_ascii_lowercase().into()),
            cookie: wire.cookie.as_deref().map(Box::from),
            networks: networks.into(),
            takes_tokens,
        })
    }

    /// Whether tokens are taken.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.takes_tokens
    }

    /// The changes by which nothing that opens a branch goes further than here: each header in which one
    /// can be named goes, whatever is in it, and of the cookies in which one can be named those that
    /// look like tokens.
    pub(crate) fn removals<'o>(
        overrides: impl Iterator<Item = &'o Self>,
        facts: &Facts<'_>,
    ) -> Edits {
        let (mut edits, mut names) = (Edits::default(), Vec::new());
        for Self { header, cookie, .. } in overrides {
            if let Some(name) = header
                && !edits.remove.iter().any(|removed| *removed == **name)
            {
                edits.remove.push(Text::copy(name));
            }
            names.extend(cookie.as_deref());
        }
        if names.is_empty() || edits.remove.iter().any(|removed| removed == "cookie") {
            return edits;
        }
        match facts.header("cookie").and_then(|header| without_tokens(&header, &names)) {
            None => {}
            // Nothing is left, or what no header can carry and no runtime lets in.
            Some(kept) if kept.is_empty() || !can_be_sent(&kept) => {
                edits.remove.push("cookie".into());
            }
            Some(kept) => edits.set.push(("cookie".into(), kept.into())),
        }
        edits
    }

    /// What a request asks for in its header, or else in its cookie. An empty value asks for nothing.
    pub(crate) fn asked<'a>(
        &self,
        facts: &Facts<'a>,
        secret: Option<&Secret>,
        route: &str,
        now: Timestamp,
    ) -> Forced<'a> {
        let header = self.header.as_deref().and_then(|name| facts.header(name));
        let cookie = || self.cookie.as_deref().and_then(|name| facts.cookie(name));
        let is_there = |text: &Cow<'a, str>| !text.is_empty();
        let Some(text) = header.filter(is_there).or_else(|| cookie().filter(is_there)) else {
            return Forced::Unasked;
        };
        let answer = match is_like_token(&text) {
            true => self.by_token(text, secret, route, now),
            false => self.by_name(text, facts),
        };
        answer.map_or_else(Forced::Denied, Forced::Branch)
    }

    fn by_token<'a>(
        &self,
        token: Cow<'a, str>,
        secret: Option<&Secret>,
        route: &str,
        now: Timestamp,
    ) -> Result<Cow<'a, str>, Denied> {
        if !self.takes_tokens {
            return Err(Denied::TokensOff);
        }
        let secret = secret.ok_or(Denied::NoSecret)?;
        let branch = match token {
            Cow::Borrowed(token) => verify(secret, token, route, now).map(Cow::Borrowed),
            Cow::Owned(token) => {
                verify(secret, &token, route, now).map(|branch| Cow::Owned(branch.to_owned()))
            }
        };
        branch.map_err(Denied::Token)
    }

    fn by_name<'a>(&self, name: Cow<'a, str>, facts: &Facts<'a>) -> Result<Cow<'a, str>, Denied> {
        let client = facts.client();
        if !client.is_some_and(|client| is_in(&self.networks, client)) {
            return Err(Denied::Address);
        }
        Id::parse(&name).ok_or(Denied::Nonsense)?;
        Ok(name)
    }
}

/// Whether no byte of a value ends a header or the head (RFC 9110, section 5.5).
fn can_be_sent(value: &str) -> bool {
    !value.contains(['\r', '\n', '\0'])
}

/// What is left of the header `Cookie` without the cookies of these names that look like tokens; the others
/// as they are written. Nothing where there are no such cookies.
fn without_tokens(header: &str, names: &[&str]) -> Option<String> {
    let is_token = |pair: &&str| {
        let (name, value) = pair.split_once('=').unwrap_or_default();
        names.contains(&name.trim()) && is_like_token(value)
    };
    header.split(';').any(|pair| is_token(&pair)).then(|| {
        let kept: Vec<&str> = header.split(';').filter(|pair| !is_token(pair)).collect();
        kept.join(";").trim_start().to_owned()
    })
}

fn compile_networks(addresses: Option<&[String]>, at: At<'_>, report: &mut Report) -> Vec<IpNet> {
    let count = addresses.map_or(1, <[String]>::len);
    if !(1..=NETWORKS_MAX).contains(&count) {
        report.fault(at, format!("expected 1 to {NETWORKS_MAX} networks, found {count}"));
    }
    let mut networks: Vec<IpNet> = Vec::new();
    for (index, text) in addresses.unwrap_or_default().iter().take(NETWORKS_MAX).enumerate() {
        let at = at.index(index);
        match network(text).map(|network| network.trunc()) {
            None => report.fault(at, "expected an address or a network such as `10.0.0.0/8`"),
            Some(network) if networks.contains(&network) => {
                report.fault(at, format!("`{network}` stands here twice"));
            }
            Some(network) => {
                if network.prefix_len() == 0 {
                    report.warn(at, "that is everybody: any client may choose its branch");
                }
                networks.push(network);
            }
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Body;
    use crate::facts::fake::Asked;
    use crate::fault::Fault;
    use crate::head::Lists;
    use crate::seal::token;
    use crate::wire;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_millis(1_795_348_800_000);
    const LATER: Timestamp = Timestamp::from_millis(1_795_348_801_000);

    fn compile(text: &Value) -> (Option<Override>, Vec<String>, Vec<String>) {
        let mut report = Report::default();
        let compiled = wire::read(text, At::Root, &mut report, |wire: OverrideWire, report| {
            Override::compile(&wire, At::Root, report)
        });
        let texts = |faults: &[Fault]| faults.iter().map(Fault::to_string).collect::<Vec<_>>();
        assert_eq!(compiled.is_some(), report.faults.is_empty());
        (compiled, texts(&report.faults), texts(&report.warnings))
    }

    fn sound(text: &Value) -> Override {
        let (compiled, faults, _) = compile(text);
        compiled.unwrap_or_else(|| panic!("{faults:?}"))
    }

    fn secret() -> Secret {
        Secret::new("a secret for tests").expect("long enough")
    }

    /// What is asked for with these headers, on the route `chat`.
    fn asked(
        rule: &Override,
        request: &Asked,
        secret: Option<&Secret>,
    ) -> Result<String, Option<Denied>> {
        request.with(Body::Unread, |facts| match rule.asked(&facts, secret, "chat", NOW) {
            Forced::Branch(name) => Ok(name.into_owned()),
            Forced::Denied(why) => Err(Some(why)),
            Forced::Unasked => Err(None),
        })
    }

    #[test]
    fn bare_names_are_taken_from_the_networks_of_the_rule_only() {
        let rule = sound(&json!({"addresses": ["10.0.0.0/8", "2001:db8::1"]}));
        let from = |client: &str, name: &str| {
            asked(&rule, &Asked::default().header("x-splitway-branch", name).from(client), None)
        };
        for client in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
            assert_eq!(from(client, "v2"), Ok("v2".to_owned()), "{client}");
        }
        for client in ["192.0.2.1", "2001:db8::2", "nowhere"] {
            assert_eq!(from(client, "v2"), Err(Some(Denied::Address)), "{client}");
        }
        assert_eq!(from("10.1.2.3", ""), Err(None));
        assert_eq!(from("10.1.2.3", "v2, v3"), Err(Some(Denied::Nonsense)));
        assert_eq!(from("10.1.2.3", "v2~1~*~0"), Err(Some(Denied::TokensOff)));
        assert_eq!(asked(&rule, &Asked::default(), None), Err(None));
    }

    #[test]
    fn tokens_are_taken_from_anybody() {
        let rule = sound(&json!({"tokens": true}));
        let with = |text: &str, secret: Option<&Secret>| {
            let request = Asked::default().header("x-splitway-branch", text).from("192.0.2.1");
            asked(&rule, &request, secret)
        };
        let ours = secret();
        let chat = token(&ours, "v2", Some("chat"), LATER);
        assert_eq!(with(&chat, Some(&ours)), Ok("v2".to_owned()));
        assert_eq!(with(&token(&ours, "v2", None, LATER), Some(&ours)), Ok("v2".to_owned()));
        assert_eq!(with(&chat, None), Err(Some(Denied::NoSecret)));
        assert_eq!(with("v2", Some(&ours)), Err(Some(Denied::Address)));
        let other = Secret::new("another secret for tests").expect("long enough");
        for (text, refused) in [
            (token(&ours, "v2", Some("chat"), NOW), Refused::Expired),
            (token(&ours, "v2", Some("other"), LATER), Refused::OtherRoute),
            (token(&other, "v2", Some("chat"), LATER), Refused::Forged),
            ("~".to_owned(), Refused::Malformed),
        ] {
            assert_eq!(with(&text, Some(&ours)), Err(Some(Denied::Token(refused))), "{text}");
        }
    }

    #[test]
    fn the_header_goes_before_the_cookie_and_is_not_made_up_beside_it() {
        let both =
            json!({"header": "X-Branch", "cookie": "branch", "addresses": ["::/0", "0.0.0.0/0"]});
        let both = sound(&both);
        let request = |header: &str| {
            Asked::default().header("x-branch", header).header("cookie", "branch=c").from("::1")
        };
        assert_eq!(asked(&both, &request("h"), None), Ok("h".to_owned()));
        assert_eq!(asked(&both, &request(""), None), Ok("c".to_owned()));
        assert_eq!(asked(&both, &request("?"), None), Err(Some(Denied::Nonsense)));
        let cookie = sound(&json!({"cookie": "branch", "addresses": ["::1"]}));
        assert_eq!(cookie.header, None);
        assert_eq!(asked(&cookie, &request("h"), None), Ok("c".to_owned()));
    }

    #[test]
    fn cookies_that_no_header_can_carry_go_no_further() {
        let forced = sound(&json!({"cookie": "branch", "tokens": true}));
        let request = Asked::default().header("cookie", "\0\r\n a; branch=v2~1~*~0");
        let edits = request
            .with(Body::Unread, |facts| Override::removals(std::iter::once(&forced), &facts));
        let cookie = vec!["cookie".into()];
        assert_eq!(*edits, Lists { remove: cookie, ..Lists::default() });
    }

    #[test]
    fn tokens_are_taken_out_of_the_cookies_and_the_others_stay_as_they_are_written() {
        let left = |header: &str| without_tokens(header, &["branch", "other"]);
        for untouched in ["", "a=b~c", "branch=v2; a=1", "branch; ;~", "branchy=a~b", "Branch=a~b"]
        {
            assert_eq!(left(untouched), None, "{untouched}");
        }
        for (header, kept) in [
            ("branch=v2~1~*~0", ""),
            ("a=1;  b = \"2~\" ; branch=v2~1~*~0", "a=1;  b = \"2~\" "),
            ("branch=v2~1~*~0; a=1;b=\u{fc}", "a=1;b=\u{fc}"),
            ("a=1; branch =~; branch=v2; other=\"~\"; c", "a=1; branch=v2; c"),
        ] {
            assert_eq!(left(header).as_deref(), Some(kept), "{header}");
        }
    }

    #[test]
    fn faults_are_told_with_their_places() {
        let check =
            |text: Value, expected: &[&str]| assert_eq!(compile(&text).1, expected, "{text}");
        let anybody = "(document): expected `addresses` or `tokens: true`: without them anybody could \
                       choose a branch, or nobody";
        check(json!({}), &[anybody]);
        check(json!({"header": "x", "tokens": false}), &[anybody]);
        check(json!({"addresses": []}), &["/addresses: expected 1 to 64 networks, found 0"]);
        check(
            json!({"addresses": ["10.1.0.0/8", "host", "10.0.0.0/8", "::1/129"]}),
            &[
                "/addresses/1: expected an address or a network such as `10.0.0.0/8`",
                "/addresses/2: `10.0.0.0/8` stands here twice",
                "/addresses/3: expected an address or a network such as `10.0.0.0/8`",
            ],
        );
        check(
            json!({"header": "a b", "cookie": "", "token": true, "tokens": "yes"}),
            &[
                "/token: unknown key; did you mean `tokens`?",
                "/tokens: expected a boolean, found \"yes\"",
                "/header: expected the name of a header",
                "/cookie: expected the name of a cookie",
            ],
        );
        let (_, faults, warnings) = compile(&json!({"addresses": ["0.0.0.0/0"]}));
        assert!(faults.is_empty());
        assert_eq!(warnings, ["/addresses/0: that is everybody: any client may choose its branch"]);
    }

    #[test]
    fn garbage_is_refused_or_harmless() {
        let mut state = 5_u64;
        let mut draw = move |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % bound
        };
        let words = [
            "v2",
            "~",
            "*",
            "chat",
            "1795348801",
            ".",
            "-",
            ":",
            "::",
            "/",
            "8",
            "10",
            "\u{fc}",
            "\n",
            " ",
            "=",
            ";",
            "branch",
            "",
            "\u{0}",
        ];
        let mut text =
            move || -> String { (0..draw(9)).map(|_| words[draw(words.len())]).collect() };
        let rule = sound(
            &json!({"cookie": "branch", "header": "b", "addresses": ["::1"], "tokens": true}),
        );
        let mut names = 0;
        for _ in 0..20_000 {
            compile(&json!({"header": text(), "cookie": text(), "addresses": [text(), text()]}));
            let cookie = format!("branch={}", text());
            let request =
                Asked::default().header("b", &text()).header("cookie", &cookie).from("::1");
            if let Ok(name) = asked(&rule, &request, Some(&secret())) {
                assert!(Id::parse(&name).is_some(), "{name}");
                names += 1;
            }
        }
        assert!(names > 1000, "{names}");
    }
}
