//! Requests of any shape: with cookies, tokens and bodies, some of which a rule asks for.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use splitway_core::head::{Head, Place, ResponseHead, normalise_target};
use splitway_core::seal::{Secret, token};
use splitway_core::time::Timestamp;
use splitway_tests::chance::Chance;
use splitway_tests::target::SECRET;

/// What time it is for all of them.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_348_800_000);

/// Pieces of targets and values: some that mean something, some that should not.
const PIECES: [&str; 28] = [
    "/", "chat", "..", "%2e", "%", "%2F", "?", "#", "\\", "*", "é", "://", " ", "a", "//", "%ff",
    "?v=2", "&n=4", "&u=u-1", "&a=%00", "$1", "${uri}", "\u{0}", "\r\n", "=", ";", "s", "%0a",
];

/// The request.
pub(crate) struct Hostile {
    method: String,
    target: String,
    host: String,
    /// By lower-case name.
    headers: Vec<(&'static str, String)>,
    client: Option<IpAddr>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, host, headers, client, body } = self;
        let start: String = String::from_utf8_lossy(body).chars().take(200).collect();
        write!(f, "{method} {target:?} {host:?} {headers:?} from {client:?}: ")?;
        write!(f, "{} bytes, {start:?}", body.len())
    }
}

/// The secret that tokens and cookies are signed with.
pub(crate) fn secret() -> Secret {
    Secret::new(SECRET).expect("it is long enough")
}

fn text(chance: &mut Chance) -> String {
    (0..chance.below(8)).map(|_| chance.one_of(&PIECES)).collect()
}

impl Hostile {
    /// One that may bring along `cookie`, which was issued to it.
    pub(crate) fn new(chance: &mut Chance, cookie: Option<&str>) -> Self {
        let mut target = text(chance);
        if chance.one_in(2) {
            let known = ["/chat?v=2", "/chat?n=4", "/chat/a/b?n=3&u=u-1", "/s", "/x", "/x?v=8"];
            target = format!("{}{}", chance.one_of(&known), target.replace(['/', '#'], ""));
        }
        let clients = ["127.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1", "192.0.2.1"]
            .map(|it| it.parse().ok());
        let (kind, body) = body(chance);
        let mut headers = vec![("content-type", kind.to_owned())];
        headers.extend(lines(chance, cookie));
        Self {
            method: chance.one_of(&["GET", "POST", "POST", "", "QUERY"]).to_owned(),
            target: normalise_target(&target).into_owned(),
            host: chance
                .one_of(&[
                    "api.example.com",
                    "v2.example.com",
                    "api.example.com",
                    "X.EXAMPLE.COM:80",
                    "s.example.com",
                    "[::1]:1",
                    "",
                    ":",
                    "é",
                ])
                .to_owned(),
            headers,
            client: chance.one_of(&clients).filter(|_| !chance.one_in(8)),
            body,
        }
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }
}

/// Headers, each with a value that somebody may look for, or with any.
fn lines(chance: &mut Chance, cookie: Option<&str>) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let names =
        ["x-user", "x-version", "cookie", "connection", "content-encoding", "x-lane", "a", "e"];
    for name in names {
        if chance.one_in(3) {
            let value = match name {
                _ if chance.one_in(4) => text(chance),
                "x-version" => choice(chance),
                "cookie" => cookies(chance, cookie),
                "connection" => format!("{}, x-hop,{}", text(chance), text(chance)),
                "content-encoding" => chance.one_of(&["identity", "gzip", ", ,"]).to_owned(),
                _ => chance.one_of(&["g", "u-1", "u-2", ""]).to_owned(),
            };
            lines.push((name, value));
        }
    }
    lines
}

/// What somebody writes who wants a certain branch.
fn choice(chance: &mut Chance) -> String {
    let until = |millis| Timestamp::from_millis(NOW.as_millis() + millis - 60_000);
    let name = chance.one_of(&["v1", "b1", "b2", "two", "nobody", "route"]);
    let route = chance.one_of(&[None, Some("chat"), Some("arr_4"), Some("other"), Some("")]);
    let other = Secret::new("another secret, which signs nothing here").expect("long enough");
    let signed = match chance.below(4) {
        0 => return name.to_owned(),
        1 => token(&other, name, route, until(120_000)),
        2 => token(&secret(), name, route, until(0)),
        _ => token(&secret(), name, route, until(120_000)),
    };
    match chance.below(6) {
        0 => signed.replace('~', "~~"),
        1 => signed.chars().take(chance.below(signed.len())).collect(),
        _ => signed,
    }
}

fn cookies(chance: &mut Chance, issued: Option<&str>) -> String {
    let pieces = [
        "sid=a".to_owned(),
        "beta=on".to_owned(),
        format!("version={}", choice(chance)),
        issued.unwrap_or("c=none").to_owned(),
        "c=0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef".to_owned(),
        "=;;".to_owned(),
        text(chance),
    ];
    (0..chance.below(5)).map(|_| chance.one_of(&pieces)).collect::<Vec<_>>().join("; ")
}

/// A body and what it says it is, which may be wrong.
fn body(chance: &mut Chance) -> (&'static str, Vec<u8>) {
    let kinds = [
        "application/json",
        "application/x-www-form-urlencoded;charset=utf-8",
        "multipart/form-data; boundary=b",
        "application/graphql",
        "",
    ];
    let bodies: [&[u8]; 14] = [
        b"",
        b"{}",
        b"{\"model\": \"x\", \"user\": {\"id\": \"u-1\"}, \"a\": {\"b\": 1, \"b\": 2}}",
        b"{\"model\": \"x\", \"model\": \"y\", \"user\": {\"id\": 1e999}}",
        b"[1, {\"model\": \"x\"}]",
        b"{\"user\": {\"id\": [[]]}, \"\\u0000\": \"\\ud800\"}",
        b"model=x&user=%00&model=",
        b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n\r\n--b",
        b"query Q { a(b: \"}\") { c } }",
        b"{\"query\": \"{ a }\", \"model\": null}",
        b"{\"model\": \"x\"",
        b"\xff\xfe\x00",
        b"null",
    ];
    let mut bytes = chance.one_of(&bodies).to_vec();
    if chance.one_in(8) {
        bytes = "[".repeat(chance.below(100_000)).into_bytes();
    } else if chance.one_in(6) && !bytes.is_empty() {
        let at = chance.below(bytes.len());
        bytes[at] = chance.one_of(b"\"{}[],:0-e\\\0\xff ");
    }
    (chance.one_of(&kinds), bytes)
}

impl Head for Hostile {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.headers.iter().find(|(own, _)| *own == name);
        found.map(|(_, value)| Cow::Borrowed(value.as_str()))
    }

    fn client(&self) -> Option<IpAddr> {
        self.client
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        80
    }

    fn place(&self, _: Place) -> Option<Cow<'_, str>> {
        self.headers.iter().find(|(own, _)| *own == "a").map(|(_, value)| value.as_str().into())
    }

    fn is_fronted(&self) -> bool {
        self.method == "GET"
    }
}

/// The head of a response of any shape.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) connection: String,
}

impl Response {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let status = chance.one_of(&[200, 204, 404, 599, 100, 101, 600, 0]);
        Self { status, connection: text(chance) }
    }
}

impl ResponseHead for Response {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "connection").then_some(Cow::Borrowed(self.connection.as_str()))
    }
}
