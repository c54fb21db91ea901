//! The lines of metrics, family by family.

use std::collections::BTreeMap;
use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use splitway_core::meter::Times;

/// Labels of one line.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Where lines are written. Families without lines are left out.
pub(super) struct Lines<'e>(DescriptorEncoder<'e>);

/// A value that labels say what of. A text that is no identifier of ours is escaped: whoever writes the
/// lines does not.
pub(super) fn label(name: &'static str, value: &str) -> (&'static str, String) {
    (name, value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// The unit that times are told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// As APISIX.
    Milliseconds,
    /// As Prometheus likes it.
    Seconds,
}

impl Unit {
    fn of_millis(self, millis: f64) -> f64 {
        match self {
            Self::Milliseconds => millis,
            Self::Seconds => millis / 1000.0,
        }
    }
}

/// Adds to what is counted under labels: several rows may have the same.
pub(super) fn sum(rows: impl Iterator<Item = (Labels, u64)>) -> BTreeMap<Labels, u64> {
    let mut sums = BTreeMap::new();
    for (labels, count) in rows {
        let own: &mut u64 = sums.entry(labels).or_default();
        *own = own.saturating_add(count);
    }
    sums
}

/// The same of times.
pub(super) fn sum_times(rows: impl Iterator<Item = (Labels, Times)>) -> BTreeMap<Labels, Times> {
    let mut sums: BTreeMap<Labels, Times> = BTreeMap::new();
    for (labels, times) in rows.filter(|(_, times)| times.count() > 0) {
        sums.entry(labels).or_default().add(&times);
    }
    sums
}

impl<'e> Lines<'e> {
    pub(super) fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self(encoder)
    }

    /// Counts that only grow. The name gets `_total`.
    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (Labels, u64)>,
    ) -> Result<(), Error> {
        let rows = sum(rows);
        if rows.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in &rows {
            match labels.is_empty() {
                true => family.encode_counter::<NoLabelSet, _, u64>(count, None)?,
                false => {
                    let mut line = family.encode_family(labels)?;
                    line.encode_counter::<NoLabelSet, _, u64>(count, None)?;
                }
            }
        }
        Ok(())
    }

    /// Counts that only grow, by a name without `_total`, which OpenMetrics does not let counters have:
    /// their type is not told. Prometheus, which makes nothing of types, counts them all the same.
    pub(super) fn plain_counters(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (Labels, u64)>,
    ) -> Result<(), Error> {
        self.values(name, help, MetricType::Unknown, sum(rows).into_iter())
    }

    /// What goes up and down, as a whole number.
    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (Labels, u64)>,
    ) -> Result<(), Error> {
        self.values(name, help, MetricType::Gauge, rows)
    }

    fn values(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        rows: impl Iterator<Item = (Labels, u64)>,
    ) -> Result<(), Error> {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in rows {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            match labels.is_empty() {
                true => family.encode_gauge(&value)?,
                false => family.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    /// What goes up and down.
    pub(super) fn numbers(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (Labels, f64)>,
    ) -> Result<(), Error> {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        rows.try_for_each(|(labels, value)| match labels.is_empty() {
            true => family.encode_gauge(&value),
            false => family.encode_family(&labels)?.encode_gauge(&value),
        })
    }

    /// Times in buckets.
    pub(super) fn times(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        rows: impl Iterator<Item = (Labels, Times)>,
    ) -> Result<(), Error> {
        let rows = sum_times(rows);
        if rows.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, times) in &rows {
            let bound = |bound: Option<u32>| {
                bound.map_or(f64::MAX, |bound| unit.of_millis(f64::from(bound)))
            };
            let buckets: Vec<(f64, u64)> =
                times.buckets().map(|(upper, count)| (bound(upper), count)).collect();
            let sum = unit.of_millis(times.sum_ms as f64);
            family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                sum,
                times.count(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    /// What is said by labels alone. The name gets `_info`.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &Labels) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        family.encode_info(labels)
    }
}
