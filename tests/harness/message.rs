//! Requests and responses as the client sees them.

use serde_json::Value;

/// Header lines in their order, names and values as the bytes on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// Adds a line.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
    }

    /// The values of all lines with this name, whatever its case.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.0.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// The value of the one line with this name; a second line is a failure.
    pub fn one(&self, name: &str) -> Option<String> {
        let values = self.all(name);
        assert!(values.len() < 2, "`{name}` is there {} times", values.len());
        values.first().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Whether there is a line with this name.
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// Takes all lines with this name away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(line, _)| !line.eq_ignore_ascii_case(name.as_bytes()));
    }
}

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The target exactly as it is sent.
    pub target: String,
    /// The header lines; `Host` and the framing are added if they are not among them.
    pub headers: Headers,
    /// The body; none means no body and no framing.
    pub body: Option<Vec<u8>>,
    /// Whether the body is sent in chunks.
    pub chunked: bool,
}

/// The `Host` of every call that names no other, so that it is the same in all environments.
pub const HOST: &str = "splitway.test";

impl Call {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Headers::default(),
            body: None,
            chunked: false,
        }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with a body.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Adds a header line.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Gives it a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the body in chunks.
    pub fn in_chunks(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The header lines with those that are added.
    pub fn lines(&self) -> Headers {
        let mut lines = Headers::default();
        if !self.headers.has("host") {
            lines.push("Host", HOST);
        }
        lines.0.extend(self.headers.0.iter().cloned());
        match &self.body {
            Some(_) if self.chunked => lines.push("Transfer-Encoding", "chunked"),
            Some(body) => lines.push("Content-Length", body.len().to_string()),
            None => {}
        }
        lines
    }
}

/// What the client got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines.
    pub headers: Headers,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Whether the body was there to its end.
    pub complete: bool,
}

impl Answer {
    /// The one value of a header, or nothing.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.one(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error} in the body {:?}", self.text()))
    }

    /// Which branch the response says served it.
    pub fn branch(&self) -> Option<String> {
        self.header("x-splitway-branch")
    }

    /// Which configuration the response says was in force.
    pub fn revision(&self) -> Option<String> {
        self.header("x-splitway-revision")
    }
}
