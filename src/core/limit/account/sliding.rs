//! A window of a fixed length, wherever it begins.
//!
//! Time is cut into slices of 1/32 of the window. Counted is what was granted in the current slice and in
//! all that any window ending in it can reach into, whole ones: at most one slice more than the window is
//! long. What is granted is good for the rest of its slice, so that it is counted where it passes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::batch;
use crate::limit::Grant;

/// Into how many slices a window is cut.
const SLICES: u64 = 32;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sliding {
    /// How many were granted, by the number of the slice since the epoch; none is 0.
    slices: BTreeMap<u64, u64>,
}

impl Sliding {
    /// What is granted of `count` in `window_ms`, and until when this counts.
    pub(super) fn take(
        &mut self,
        (count, window_ms): (u64, u64),
        want: u32,
        now_ms: u64,
    ) -> (Grant, u64) {
        let slice_ms = window_ms.div_ceil(SLICES).max(1);
        // So many before the current one a window can reach into.
        let reach = window_ms.div_ceil(slice_ms);
        let current = now_ms / slice_ms;
        self.forget(current, reach);
        let used: u64 = self.slices.values().sum();
        let left = count.saturating_sub(used);
        let granted = batch(want, left);
        if granted > 0 {
            *self.slices.entry(current).or_default() += u64::from(granted);
        }
        let free_at = |slice: u64| slice.saturating_add(reach + 1).saturating_mul(slice_ms);
        let first = self.slices.keys().next().map_or(now_ms, |first| free_at(*first));
        let last = self.slices.keys().next_back().map_or(now_ms, |last| free_at(*last));
        let grant = Grant {
            granted,
            remaining: left - u64::from(granted),
            reset_ms: first.saturating_sub(now_ms),
            pause_ms: 0,
            good_ms: (current + 1).saturating_mul(slice_ms).saturating_sub(now_ms),
        };
        (grant, last)
    }

    /// Forgets what no window reaches into any more. What is from the future, as the clock was set back, is
    /// from now.
    fn forget(&mut self, current: u64, reach: u64) {
        self.slices = self.slices.split_off(&current.saturating_sub(reach));
        let future: u64 = self.slices.split_off(&(current + 1)).values().sum();
        if future > 0 {
            *self.slices.entry(current).or_default() += future;
        }
    }
}
