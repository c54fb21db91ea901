//! A window that begins with its first request.

use serde::{Deserialize, Serialize};

use super::batch;
use crate::limit::Grant;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixed {
    used: u64,
    until_ms: u64,
}

impl Fixed {
    /// What is granted of `count` in `window_ms`, and until when this counts.
    pub(super) fn take(
        &mut self,
        (count, window_ms): (u64, u64),
        want: u32,
        now_ms: u64,
    ) -> (Grant, u64) {
        let latest = now_ms.saturating_add(window_ms);
        if now_ms >= self.until_ms {
            *self = Self { used: 0, until_ms: latest };
        }
        self.until_ms = self.until_ms.min(latest);
        let left = count.saturating_sub(self.used);
        let granted = batch(want, left);
        self.used += u64::from(granted);
        let reset_ms = self.until_ms.saturating_sub(now_ms);
        let remaining = left - u64::from(granted);
        // The window of a request is the one in which it passes, so none is taken into the next one.
        let good_ms = reset_ms;
        (Grant { granted, remaining, reset_ms, pause_ms: 0, good_ms }, self.until_ms)
    }
}
