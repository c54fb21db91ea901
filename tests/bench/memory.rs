//! A runtime in memory: everything is there at once, so that what is measured is what the core does.

use std::borrow::Cow;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use splitway_core::auth::Errand;
use splitway_core::exchange::Attempt;
use splitway_core::head::ResponseHead;
use splitway_core::limit::{Grant, Porter, Toll};
use splitway_core::platform::{Platform, Unread};
use splitway_core::problem::Failure;
use splitway_core::seal::Secret;
use splitway_core::serve::{Reply, serve};
use splitway_core::signature::Check;
use splitway_core::snapshot::Snapshot;
use splitway_core::telemetry::Record;
use splitway_core::time::Timestamp;

use crate::chat::Chat;

/// An answer in JSON.
pub(crate) struct Answered;

impl ResponseHead for Answered {
    fn status(&self) -> u16 {
        200
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "content-type").then_some(Cow::Borrowed("application/json"))
    }
}

/// The runtime: upstreams answer at once.
pub(crate) struct Memory {
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Memory {
    /// Serves a request to its end. It must be relayed.
    pub(crate) fn serve(&self, head: &Chat) {
        let mut serving = pin!(serve(self, head, ()));
        let served = match serving.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(served) => served,
            Poll::Pending => panic!("there is nothing to wait for"),
        };
        match served.reply {
            Reply::Relay(Answered, mut relay) => {
                let headers =
                    relay.edits.set().map(|(_, value)| value.as_bytes().len()).sum::<usize>();
                assert!(headers > 0, "who served is told");
                let running = relay.tail.meter.take().expect("there is a configuration");
                running.pass(100, 1000);
                running.end(self.now());
            }
            Reply::Own(_, problem) => panic!("{problem:?}"),
        }
    }
}

impl Platform for Memory {
    type Head = Chat;
    type Body = ();
    type Response = Answered;
    type Entry = ();

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    fn draw(&self) -> u64 {
        0
    }

    fn secret(&self) -> Option<&Secret> {
        None
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }

    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        Some(Arc::clone(&self.snapshot))
    }

    fn size(&self, _: &Chat, (): &()) -> Option<u64> {
        None
    }

    async fn buffer(&self, (): (), _: usize) -> Result<Vec<u8>, Unread> {
        Ok(Vec::new())
    }

    fn limited(&self, (): (), _: u64) -> Option<()> {
        Some(())
    }

    fn body(&self, _: Vec<u8>) {}

    async fn peek(&self, _: &mut Answered) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    async fn send(&self, attempt: &Attempt<'_>, _: &Chat, (): ()) -> Result<Answered, Failure> {
        let headers = attempt.edits.set().map(|(_, value)| value.as_bytes().len()).sum::<usize>();
        assert!(attempt.target.starts_with("/v") && headers > 0);
        Ok(Answered)
    }

    fn fetch(&self, _: Errand) {}

    async fn verify(&self, _: &Check) -> bool {
        false
    }

    async fn toll(&self, _: &Toll) -> Result<Grant, Failure> {
        Err(Failure::DestinationUnavailable)
    }

    fn porter(&self) -> Arc<dyn Porter> {
        unreachable!("nothing is shared")
    }

    fn record(&self, _: &Chat, record: &Record<'_>) {
        assert_eq!(record.attempts, 1);
    }
}
