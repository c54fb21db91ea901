//! Requests of the demo and what came of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use indicatif::ProgressBar;
use serde_json::Value;
use splitway_core::telemetry::proof;
use tokio::task::JoinSet;

/// How many requests are under way at a time.
const CONCURRENCY: u64 = 4;

const CHAT: &str = r#"{"model":"gpt-4","messages":[{"role":"user","content":"ping"}]}"#;

/// Why requests were not answered as they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The URL is none.
    #[error("{0}")]
    Url(#[from] http::Error),
    /// No response came.
    #[error("a request failed: {0}")]
    Request(#[from] hyper_util::client::legacy::Error),
    /// The response broke off.
    #[error("a response broke off: {0}")]
    Response(#[from] hyper::Error),
    /// The response is not the one of the version that the proof names.
    #[error("a response with status {status} and branch `{branch}` came from `{model}`")]
    Unexpected {
        /// The status.
        status: StatusCode,
        /// The branch that the response names.
        branch: String,
        /// The version that really answered.
        model: String,
    },
}

/// How long the requests of a branch took, from the shortest to the longest.
#[derive(Debug, Default)]
pub(crate) struct Durations(Vec<Duration>);

impl Durations {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The shortest duration that at least `percent` of all do not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).map_or(0.0, |duration| duration.as_secs_f64() * 1000.0)
    }
}

/// What came of all requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    branches: BTreeMap<String, Durations>,
}

impl Tally {
    /// The durations by branch.
    pub(crate) fn branches(&self) -> impl Iterator<Item = (&String, &Durations)> {
        self.branches.iter()
    }

    /// How many requests were answered.
    pub(crate) fn requests_count(&self) -> usize {
        self.branches.values().map(Durations::count).sum()
    }

    /// Whether two branches have the same number of requests; of an odd number, one has one more.
    pub(crate) fn is_even(&self, [one, other]: [&str; 2]) -> bool {
        let count = |branch: &str| self.branches.get(branch).map_or(0, Durations::count);
        let (one, other) = (count(one), count(other));
        one + other == self.requests_count() && one.abs_diff(other) <= 1
    }

    fn add(&mut self, branch: String, duration: Duration) {
        self.branches.entry(branch).or_default().0.push(duration);
    }

    fn merge(&mut self, other: Self) {
        for (branch, durations) in other.branches {
            let Durations(merged) = self.branches.entry(branch).or_default();
            merged.extend(durations.0);
            merged.sort_unstable();
        }
    }
}

/// Sends so many chats to `url`, a few at a time.
pub(crate) async fn send(url: &str, count: u64) -> Result<Tally, LoadError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    // Hidden where standard error is not a terminal.
    let bar = ProgressBar::new(count);
    let sent = Arc::new(AtomicU64::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (client, bar, url) = (client.clone(), bar.clone(), url.to_owned());
        let sent = Arc::clone(&sent);
        senders.spawn(async move {
            let mut tally = Tally::default();
            while sent.fetch_add(1, Ordering::Relaxed) < count {
                let begin = Instant::now();
                let branch = ask(&client, &url).await?;
                tally.add(branch, begin.elapsed());
                bar.inc(1);
            }
            Ok::<Tally, LoadError>(tally)
        });
    }
    let mut whole = Tally::default();
    for tally in senders.join_all().await {
        whole.merge(tally?);
    }
    bar.finish_and_clear();
    Ok(whole)
}

/// The branch that answered one chat, checked against what the answer says of itself.
async fn ask(client: &Client<HttpConnector, Full<Bytes>>, url: &str) -> Result<String, LoadError> {
    let mut request = Request::post(url).body(Full::from(CHAT))?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let response = client.request(request).await?;
    let status = response.status();
    let branch = response.headers().get(proof::BRANCH).and_then(|branch| branch.to_str().ok());
    let branch = branch.unwrap_or(proof::NONE).to_owned();
    let body = response.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let model = answer.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
    if model != format!("demo-{branch}") {
        return Err(LoadError::Unexpected { status, branch, model });
    }
    Ok(branch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: &[(&str, usize)]) -> Tally {
        let mut tally = Tally::default();
        for (branch, count) in counts {
            (0..*count).for_each(|_| tally.add((*branch).to_owned(), Duration::ZERO));
        }
        tally
    }

    #[test]
    fn even_means_equal_or_one_apart_where_the_number_is_odd() {
        let is_even = |counts: &[(&str, usize)]| tally(counts).is_even(["v1", "v2"]);
        assert!(is_even(&[("v1", 50), ("v2", 50)]));
        assert!(is_even(&[("v1", 51), ("v2", 50)]));
        assert!(is_even(&[("v2", 1)]));
        assert!(!is_even(&[("v1", 51), ("v2", 49)]));
        assert!(!is_even(&[("v1", 100)]));
        assert!(!is_even(&[("v1", 2), ("v2", 2), ("none", 1)]));
    }

    #[test]
    fn quantiles_are_durations_that_occurred() {
        let durations = Durations((1..=100).map(Duration::from_millis).collect());
        assert!((durations.quantile_ms(50) - 50.0).abs() < 1e-9);
        assert!((durations.quantile_ms(99) - 99.0).abs() < 1e-9);
        assert!(Durations::default().quantile_ms(50).abs() < 1e-9);
    }
}
