//! The figures, as a table.

use std::time::Duration;

use crate::gauge::Level;
use crate::load::Tally;
use crate::world::Deeds;

/// One row: what was done, and what came of it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) time: Duration,
    pub(crate) tally: Tally,
    pub(crate) deeds: Deeds,
    /// Before and after.
    pub(crate) levels: Option<(Level, Level)>,
    pub(crate) wrongs: usize,
}

const HEAD: [&str; 16] = [
    "under load",
    "secs",
    "requests",
    "per s",
    "retried",
    "to others",
    "POST 502",
    "cut",
    "changes",
    "kills",
    "succ.",
    "p50 ms",
    "p99 ms",
    "max ms",
    "wrong",
    "at rest: RSS KiB, fds",
];

/// All rows, to standard error.
pub(crate) fn print(seed: u64, rows: &mut [Row]) {
    eprintln!("SOAK_SEED={seed}");
    line(&HEAD.map(str::to_owned));
    for row in rows {
        line(&row.cells());
        if let Some((micros, kind, number)) = row.tally.slowest {
            eprintln!("    the slowest was #{number} {kind:?}: {} ms", micros / 1000);
        }
    }
}

impl Row {
    fn cells(&mut self) -> [String; 16] {
        let Self { tally, deeds, .. } = self;
        tally.micros.sort_unstable();
        let secs = self.time.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for the eye")]
        let rate = tally.requests as f64 / secs;
        let levels = self.levels.map_or_else(String::new, |(begin, end)| {
            let (from, to) = (begin.resident_kib, end.resident_kib);
            format!("{from} -> {to}, {} -> {}", begin.fds, end.fds)
        });
        [
            self.name.to_owned(),
            format!("{secs:.1}"),
            tally.requests.to_string(),
            format!("{rate:.0}"),
            tally.retried.to_string(),
            tally.failed_over.to_string(),
            tally.given_up.to_string(),
            tally.cut.to_string(),
            deeds.changes.to_string(),
            deeds.kills.to_string(),
            deeds.successions.to_string(),
            percentile(&tally.micros, 50),
            percentile(&tally.micros, 99),
            percentile(&tally.micros, 100),
            self.wrongs.to_string(),
            levels,
        ]
    }
}

/// In milliseconds, of sorted microseconds.
fn percentile(micros: &[u32], percent: usize) -> String {
    let place = (micros.len() * percent / 100).min(micros.len().saturating_sub(1));
    let micros = micros.get(place).copied().unwrap_or_default();
    format!("{:.1}", f64::from(micros) / 1000.0)
}

fn line(cells: &[String; 16]) {
    let [name, numbers @ ..] = cells;
    let numbers: Vec<String> = numbers.iter().map(|cell| format!("{cell:>9}")).collect();
    eprintln!("{name:<12}{}", numbers.join(" "));
}
