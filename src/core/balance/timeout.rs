//! How long the phases of an attempt may take.

use serde::Deserialize;
use std::time::Duration;

use crate::fault::{At, Report};

/// The most seconds of one phase: a day.
pub(super) const PHASE_SECS_MAX: f64 = 86_400.0;

/// Seconds. APISIX knows `connect`, `send` and `read`, and requires all three.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeoutWire {
    #[cfg_attr(
        feature = "schema",
        schemars(required, range(max = PHASE_SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    connect: Option<f64>,
    #[cfg_attr(
        feature = "schema",
        schemars(required, range(max = PHASE_SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    send: Option<f64>,
    #[cfg_attr(
        feature = "schema",
        schemars(required, range(max = PHASE_SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    read: Option<f64>,
    #[cfg_attr(
        feature = "schema",
        schemars(range(max = PHASE_SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    first_byte: Option<f64>,
    #[cfg_attr(
        feature = "schema",
        schemars(range(max = PHASE_SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    idle: Option<f64>,
}

/// How long the phases of an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection, with its TLS.
    pub connect: Duration,
    /// Between two writes of the request.
    pub send: Duration,
    /// Between two reads of the response.
    pub read: Duration,
    /// Until the head of the response is there, in all; the phases one after the other where absent.
    pub first_byte: Option<Duration>,
    /// Between two reads of the body of the response; `read` where absent.
    pub idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        *Self::DEFAULT
    }
}

impl Timeouts {
    /// What counts where neither route nor upstream says: APISIX's 60 s for each phase.
    pub(crate) const DEFAULT: &Self = {
        let phase = Duration::from_secs(60);
        &Self { connect: phase, send: phase, read: phase, first_byte: None, idle: None }
    };

    /// How long an attempt may take until the head of its response is there: if nothing is said of that,
    /// its phases one after the other, for a runtime that cannot tell them apart.
    pub fn until_head(&self) -> Duration {
        self.first_byte.unwrap_or(self.connect + self.send + self.read)
    }

    /// How long the body of the response may pause.
    pub fn between_pieces(&self) -> Duration {
        self.idle.unwrap_or(self.read)
    }
}

impl TimeoutWire {
    /// Checks all phases.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> Timeouts {
        let mut phase = |key: &str, secs: Option<f64>, is_required: bool| match secs {
            Some(secs) if secs > 0.0 && secs <= PHASE_SECS_MAX => {
                Some(Duration::from_secs_f64(secs))
            }
            Some(_) => {
                let what = format!("expected seconds, more than 0 and at most {PHASE_SECS_MAX}");
                report.fault(at.key(key), what);
                None
            }
            None => {
                if is_required {
                    report.fault(at, format!("`{key}` is missing"));
                }
                None
            }
        };
        let default = Timeouts::default();
        Timeouts {
            connect: phase("connect", self.connect, true).unwrap_or(default.connect),
            send: phase("send", self.send, true).unwrap_or(default.send),
            read: phase("read", self.read, true).unwrap_or(default.read),
            first_byte: phase("first_byte", self.first_byte, false),
            idle: phase("idle", self.idle, false),
        }
    }
}
