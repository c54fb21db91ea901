//! Figures in a few characters.

/// A share in per cent: four characters, and `-` for none.
pub(super) fn percent(share: Option<f64>) -> String {
    let Some(share) = share else { return "-".to_owned() };
    let text = format!("{:.1}", share * 100.0);
    if text == "100.0" { "100".to_owned() } else { text }
}

/// An interval of shares in per cent.
pub(super) fn interval((low, high): (f64, f64)) -> String {
    format!("{}-{}", percent(Some(low)), percent(Some(high)))
}

/// So many in a second: up to five characters.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate < 99.95 => format!("{rate:.1}"),
        Some(rate) if rate < 99_999.5 => format!("{rate:.0}"),
        Some(rate) if rate < 999_500.0 => format!("{:.0}k", rate / 1e3),
        Some(rate) => format!("{:.1}M", rate / 1e6),
    }
}

/// A time: up to five characters.
pub(super) fn millis(millis: Option<f64>) -> String {
    match millis {
        None => "-".to_owned(),
        Some(millis) if millis < 9.95 => format!("{millis:.1}ms"),
        Some(millis) if millis < 999.5 => format!("{millis:.0}ms"),
        Some(millis) if millis < 9950.0 => format!("{:.1}s", millis / 1e3),
        Some(millis) => format!("{:.0}s", millis / 1e3),
    }
}

/// How long something has lasted, by its two largest units.
pub(super) fn lasting(millis: u64) -> String {
    let secs = millis / 1000;
    let (minutes, hours, days) = (secs / 60, secs / 3600, secs / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", secs % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (_, _, _) => format!("{days}d{:02}h", hours % 24),
    }
}

/// A share as a bar of ASCII: `=` as far as it surely goes, `~` where it may end by its interval, and `|`
/// where the target is.
pub(super) fn bar(target: f64, (low, high): (f64, f64), width: usize) -> String {
    let place = |share: f64| (share.clamp(0.0, 1.0) * width as f64) as usize;
    let target = place(target).min(width.saturating_sub(1));
    let mark = |cell: usize| match () {
        () if cell == target => '|',
        () if cell < place(low) => '=',
        () if cell < (high * width as f64).ceil() as usize => '~',
        () => '.',
    };
    (0..width).map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let percents = [None, Some(0.0), Some(0.0049), Some(0.5), Some(0.9996), Some(1.0)];
        assert_eq!(percents.map(percent), ["-", "0.0", "0.5", "50.0", "100", "100"]);
        assert_eq!(interval((0.489, 0.511)), "48.9-51.1");
        let rates = [0.0, 3.12, 99.96, 1204.4, 99_999.4, 120_000.0, 2_340_000.0];
        assert_eq!(
            rates.map(|it| rate(Some(it))),
            ["0.0", "3.1", "100", "1204", "99999", "120k", "2.3M"]
        );
        let times = [0.5, 9.96, 48.0, 999.6, 1234.0, 9999.0, 60_000.0];
        assert_eq!(
            times.map(|it| millis(Some(it))),
            ["0.5ms", "10ms", "48ms", "1.0s", "1.2s", "10s", "60s"]
        );
        assert_eq!((rate(None), millis(None)), ("-".to_owned(), "-".to_owned()));
        let spans = [0, 59_999, 61_000, 11_520_000, 187_200_000];
        assert_eq!(spans.map(lasting), ["0s", "59s", "1m01s", "3h12m", "2d04h"]);
    }

    #[test]
    fn a_bar_shows_the_share_its_interval_and_the_target() {
        assert_eq!(bar(0.5, (0.4, 0.7), 10), "====~|~...");
        assert_eq!(bar(1.0, (0.9, 1.0), 10), "=========|");
        assert_eq!(bar(0.0, (0.0, 1.0), 5), "|~~~~");
        assert_eq!(bar(0.9, (0.0, 0.1), 10), "~........|");
        assert_eq!(bar(0.9, (0.0, 0.1), 0), "");
    }
}
