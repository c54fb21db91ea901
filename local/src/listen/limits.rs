//! How much a thread takes of its clients.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::connections::Connections;
use super::options::ListenOptions;

/// What one listener holds its clients to. Threads share nothing on the road of a request, so each
/// has its share of what is counted for the process; what is without a limit is `None`.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) header_bytes: u32,
    pub(crate) headers: usize,
    pub(crate) streams: u32,
    /// Places for connections.
    pub(crate) seats: Option<Arc<Semaphore>>,
    /// Places for requests.
    pub(crate) gate: Option<Arc<Semaphore>>,
    pub(crate) wait: Duration,
    pub(crate) tls: Option<Duration>,
    pub(crate) head: Option<Duration>,
    pub(crate) body: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    /// Whether another process may take over the port.
    pub(crate) is_shared: bool,
    /// Where its connections are counted.
    pub(crate) connections: Arc<Connections>,
}

impl Limits {
    /// Those of the thread `number` of `threads`.
    pub(crate) fn new(options: &ListenOptions, number: usize, threads: NonZeroUsize) -> Self {
        let places = |all| share(all, number, threads).map(|share| Arc::new(Semaphore::new(share)));
        Self {
            header_bytes: options.max_header_bytes,
            headers: usize::try_from(options.max_headers).unwrap_or(usize::MAX),
            streams: options.max_streams,
            seats: places(options.max_connections),
            gate: places(options.max_requests),
            wait: options.max_wait,
            tls: some(options.tls_timeout),
            head: some(options.header_timeout),
            body: some(options.body_timeout),
            idle: some(options.idle_timeout),
            is_shared: options.reuse_port,
            connections: Arc::default(),
        }
    }

    /// Those of the Admin API, which are nobody's to choose.
    pub(crate) fn of_admin(is_shared: bool) -> Self {
        let options = ListenOptions { reuse_port: is_shared, ..ListenOptions::default() };
        Self::new(&options, 0, NonZeroUsize::MIN)
    }
}

/// The part of `all` that falls to thread `number`; at least one, which is too many by at most one a
/// thread.
fn share(all: u32, number: usize, threads: NonZeroUsize) -> Option<usize> {
    let all = usize::try_from(all).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
    let part = all / threads + usize::from(number < all % threads);
    (all > 0).then_some(part.max(1))
}

fn some(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_whole() {
        let threads = NonZeroUsize::new(3).expect("not zero");
        for all in 3..20_u32 {
            let sum: usize = (0..3).filter_map(|number| share(all, number, threads)).sum();
            assert_eq!(u32::try_from(sum), Ok(all));
        }
    }

    #[test]
    fn every_thread_has_at_least_one_place_and_nothing_is_no_limit() {
        let threads = NonZeroUsize::new(4).expect("not zero");
        let shares = |all| (0..4).map(|number| share(all, number, threads)).collect::<Vec<_>>();
        assert_eq!(shares(1), [Some(1); 4]);
        assert_eq!(shares(0), [None; 4]);
    }
}
