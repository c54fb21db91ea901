//! Why etcd did not do what was asked: the many ways in which its client says it, in a few.

use std::error::Error as _;

use etcd_client::Error;
use splitway_core::storage::StorageError;

/// Why etcd did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkError {
    /// It cannot be reached, or has no leader. The request may have been done.
    Away(String),
    /// It does not let us.
    Denied(String),
    /// It has no room.
    Full(String),
    /// What was asked for is no longer kept.
    Compacted,
    /// It does not take the request.
    Refused(String),
}

impl From<LinkError> for StorageError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Away(why) => Self::Unavailable(format!("etcd cannot be reached: {why}")),
            LinkError::Denied(why) => Self::Unavailable(format!("etcd does not let it in: {why}")),
            LinkError::Full(why) => Self::Full(format!("etcd: {why}")),
            LinkError::Compacted => Self::Unavailable("etcd has let go of it meanwhile".to_owned()),
            LinkError::Refused(why) => Self::Unavailable(format!("etcd refuses it: {why}")),
        }
    }
}

/// The codes of gRPC that say more than that it did not work.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

impl LinkError {
    /// What a failure of the client means.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are on the way there")]
    pub(super) fn of(error: &Error) -> Self {
        let status = match error {
            Error::GRpcStatus(status) => status,
            Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => {
                return Self::Refused(error.to_string());
            }
            // What fails on its way comes as a status; this is of the set-up.
            Error::TransportError(error) => return Self::Refused(chain(error)),
            other => return Self::Away(other.to_string()),
        };
        let message = status.message();
        match i32::from(status.code()) {
            code::PERMISSION_DENIED | code::UNAUTHENTICATED => Self::Denied(message.to_owned()),
            code::INVALID_ARGUMENT | code::FAILED_PRECONDITION if is_about_users(message) => {
                Self::Denied(message.to_owned())
            }
            code::INVALID_ARGUMENT | code::FAILED_PRECONDITION => Self::Refused(message.to_owned()),
            code::RESOURCE_EXHAUSTED if message.contains("space exceeded") => {
                Self::Full(message.to_owned())
            }
            code::OUT_OF_RANGE if message.contains("compacted") => Self::Compacted,
            _ => Self::Away(match status.source() {
                Some(cause) => chain(cause),
                None => message.to_owned(),
            }),
        }
    }
}

/// Whether etcd speaks of who we are: a wrong password, none, or one where it asks for none.
fn is_about_users(message: &str) -> bool {
    ["authentication", "user name", "auth revision"].iter().any(|word| message.contains(word))
}

/// What an error says, and its causes where they say more.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            text = format!("{text}: {why}");
        }
        cause = error.source();
    }
    text
}
