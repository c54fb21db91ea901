//! The body of a request on its way through.

use std::pin::pin;
use std::time::Duration;

use super::within;
use crate::facts::Body;
use crate::platform::{Platform, Unread};
use crate::problem::Problem;

/// How long the body of a request may take that is read before anything is sent.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The body of a request: as it comes, or read because something had to look at it or may have to send
/// it again.
pub(super) enum Upload<B> {
    Coming(B),
    Read(Vec<u8>),
    /// It could not be read, or was sent.
    Gone,
}

impl<B> Upload<B> {
    pub(super) fn known(&self) -> Body<'_> {
        match self {
            Self::Read(bytes) => Body::Whole(bytes),
            Self::Coming(_) | Self::Gone => Body::Unread,
        }
    }

    /// Reads it, if that has not been done.
    pub(super) async fn read<P: Platform<Body = B>>(
        &mut self,
        platform: &P,
        max: usize,
    ) -> Result<(), Unread> {
        if matches!(self, Self::Coming(_))
            && let Self::Coming(body) = std::mem::replace(self, Self::Gone)
        {
            let reading = pin!(platform.buffer(body, max));
            let read = within(reading, pin!(platform.sleep(UPLOAD_TIMEOUT))).await;
            *self = Self::Read(read.unwrap_or(Err(Unread::TooSlow))?);
        }
        Ok(())
    }

    /// Reads it if it is known to have at most `max` bytes.
    pub(super) async fn keep<P: Platform<Body = B>>(
        &mut self,
        platform: &P,
        head: &P::Head,
        max: usize,
    ) -> Result<(), Unread> {
        let Self::Coming(body) = self else { return Ok(()) };
        match platform.size(head, body) {
            Some(0) => *self = Self::Read(Vec::new()),
            Some(size) if size <= u64::try_from(max).unwrap_or(u64::MAX) => {
                self.read(platform, max).await?;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Sees to it that nobody gets more than `max` bytes of it.
    pub(super) fn limit<P: Platform<Body = B>>(
        &mut self,
        platform: &P,
        max: u64,
    ) -> Result<(), Problem> {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Coming(body) => {
                Self::Coming(platform.limited(body, max).ok_or(Problem::BodyTooLarge)?)
            }
            Self::Read(bytes) if u64::try_from(bytes.len()).is_ok_and(|size| size <= max) => {
                Self::Read(bytes)
            }
            Self::Read(_) => return Err(Problem::BodyTooLarge),
            Self::Gone => Self::Gone,
        };
        Ok(())
    }

    /// What is sent of it now. What was read is there for another time, if there may be one.
    pub(super) fn give<P: Platform<Body = B>>(&mut self, platform: &P, is_last: bool) -> B {
        match std::mem::replace(self, Self::Gone) {
            Self::Coming(body) => body,
            Self::Gone => platform.body(Vec::new()),
            Self::Read(bytes) if is_last => platform.body(bytes),
            Self::Read(bytes) => {
                let body = platform.body(bytes.clone());
                *self = Self::Read(bytes);
                body
            }
        }
    }
}
