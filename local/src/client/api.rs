//! What the API is asked for, and what its answers mean.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use splitway_core::checkup::UpstreamHealth;
use splitway_core::explain::Explanation;
use splitway_core::status::Status;

use super::error::ClientError;
use super::{Answer, Client, Question};

/// Where requests are explained.
pub(super) const EXPLAIN: &str = "/explain";

/// Whether a change is made or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Nothing is changed.
    Dry,
    /// The change is made.
    Real,
}

/// What becomes of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It is new.
    Add,
    /// It is there before and after, in two forms.
    Change,
    /// It goes.
    Remove,
}

/// One resource that a change is about.
#[derive(Clone, Debug, Deserialize)]
pub struct Change {
    /// What becomes of it.
    pub op: Op,
    /// The list that it stands in.
    pub kind: String,
    /// Its id, where it has one.
    pub id: Option<String>,
    /// Its form before; lists of revisions leave it out.
    pub before: Option<Value>,
    /// Its form after; lists of revisions leave it out.
    pub after: Option<Value>,
}

/// What a change does, or would do.
#[derive(Clone, Debug, Deserialize)]
pub struct Applied {
    /// The revision that the server names.
    pub revision: u64,
    /// What is different.
    pub changes: Vec<Change>,
}

/// The latest revisions.
#[derive(Clone, Debug, Deserialize)]
pub struct Revisions {
    /// The one that serves.
    pub current: u64,
    /// The newest first.
    pub revisions: Vec<Revision>,
}

/// One revision.
#[derive(Clone, Debug, Deserialize)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// When it was made, by RFC 3339.
    pub at: String,
    /// The name of the key that made it.
    pub by: String,
    /// What made it.
    pub cause: String,
    /// What it changed, without the forms.
    pub changes: Vec<Change>,
}

/// A key, without what opens.
#[derive(Clone, Debug, Deserialize)]
pub struct KeyEntry {
    /// Its name.
    pub name: String,
    /// `admin` or `viewer`.
    pub role: String,
    /// When it was made, by RFC 3339.
    pub created_at: Option<String>,
}

impl Client {
    /// The document and its revision.
    pub fn document(&self) -> Result<(u64, Value), ClientError> {
        let answer = self.get("/config")?;
        let revision = answer.revision().ok_or_else(|| self.foreign(&answer))?;
        let document: Value = self.read(&answer)?;
        // A page in JSON, whatever it says, is no configuration.
        if document.is_object() { Ok((revision, document)) } else { Err(self.foreign(&answer)) }
    }

    /// Puts a document in the place of the one that is there, if that is still at `if_match`.
    pub fn replace(
        &self,
        document: &Value,
        run: Run,
        if_match: Option<u64>,
    ) -> Result<Applied, ClientError> {
        let path = format!("/config{}", run.query());
        let (method, body) = (Method::PUT, Some(document));
        self.read(&self.ask(&Question { method, path: &path, if_match, body })?)
    }

    /// Puts the document of an old revision in the place of the one that is there.
    pub fn rollback(
        &self,
        revision: u64,
        run: Run,
        if_match: Option<u64>,
    ) -> Result<Applied, ClientError> {
        let path = format!("/revisions/{revision}/rollback{}", run.query());
        self.read(&self.ask(&Question {
            method: Method::POST,
            path: &path,
            if_match,
            body: None,
        })?)
    }

    /// The latest revisions, of those before `before` if that is given.
    pub fn revisions(&self, limit: u64, before: Option<u64>) -> Result<Revisions, ClientError> {
        let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
        self.read(&self.get(&format!("/revisions?limit={limit}{before}"))?)
    }

    /// One revision, and its document.
    pub fn revision(&self, revision: u64) -> Result<(Revision, Value), ClientError> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(flatten)]
            revision: Revision,
            document: Map<String, Value>,
        }
        let answer = self.get(&format!("/revisions/{revision}"))?;
        self.read::<Whole>(&answer).map(|whole| (whole.revision, Value::Object(whole.document)))
    }

    /// What is different between two revisions.
    pub fn difference(&self, from: u64, to: u64) -> Result<Vec<Change>, ClientError> {
        #[derive(Deserialize)]
        struct Difference {
            changes: Vec<Change>,
        }
        let answer = self.get(&format!("/revisions/{from}/diff/{to}"))?;
        self.read::<Difference>(&answer).map(|difference| difference.changes)
    }

    /// What would become of a request, told of as the API takes it.
    pub fn explain(&self, question: &Value) -> Result<Explanation, ClientError> {
        let (method, body) = (Method::POST, Some(question));
        self.read(&self.ask(&Question { method, path: EXPLAIN, if_match: None, body })?)
    }

    /// How the nodes of every upstream are.
    pub fn health(&self) -> Result<Vec<UpstreamHealth>, ClientError> {
        #[derive(Deserialize)]
        struct Health {
            upstreams: Vec<UpstreamHealth>,
        }
        self.read::<Health>(&self.get("/health")?).map(|health| health.upstreams)
    }

    /// How all branches fare: counts that only grow.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.read(&self.get("/status")?)
    }

    /// All keys but the one that the server was started with.
    pub fn keys(&self) -> Result<Vec<KeyEntry>, ClientError> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<KeyEntry>,
        }
        self.read::<Keys>(&self.get("/keys")?).map(|keys| keys.keys)
    }

    /// Makes a key; whether it is new, and not in the place of another of that name.
    pub fn put_key(&self, name: &str, role: &str, key: &str) -> Result<bool, ClientError> {
        let body = json!({"role": role, "key": key});
        let path = format!("/keys/{name}");
        let (method, body) = (Method::PUT, Some(&body));
        let answer = self.ask(&Question { method, path: &path, if_match: None, body })?;
        self.read::<Value>(&answer).map(|_| answer.status == StatusCode::CREATED)
    }

    /// Takes a key away.
    pub fn delete_key(&self, name: &str) -> Result<(), ClientError> {
        let (method, path) = (Method::DELETE, format!("/keys/{name}"));
        let answer = self.ask(&Question { method, path: &path, if_match: None, body: None })?;
        self.read::<Value>(&answer).map(|_| ())
    }

    fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.ask(&Question { method: Method::GET, path, if_match: None, body: None })
    }

    /// An answer in the form that the API has; what has another is not the API's.
    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ClientError> {
        serde_json::from_slice(&answer.body).map_err(|_| self.foreign(answer))
    }

    fn foreign(&self, answer: &Answer) -> ClientError {
        ClientError::Foreign { server: self.base.clone(), status: answer.status }
    }
}

impl Run {
    pub(super) fn query(self) -> &'static str {
        match self {
            Self::Dry => "?dry_run=true",
            Self::Real => "",
        }
    }
}
