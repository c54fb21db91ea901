//! How sure a share is.

/// The quantile of the normal distribution that leaves 2.5 % above it.
const Z: f64 = 1.959_963_984_540_054;

/// The interval in which a share lies with 95 % confidence, of which `some` of `all` were seen (Wilson,
/// "Probable inference, the law of succession, and statistical inference", 1927). It is sound for few and
/// for none: all is possible where nothing was seen.
///
/// Turns are not drawn: they keep closer to the share than this says.
pub fn wilson(some: u64, all: u64) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (some, all) = (some.min(all) as f64, all as f64);
    let share = some / all;
    let square = Z * Z;
    let middle = share + square / (2.0 * all);
    let reach = Z * (share * (1.0 - share) / all + square / (4.0 * all * all)).sqrt();
    let scale = 1.0 + square / all;
    // At both ends it is exact, which rounding is not.
    let low = if some == 0.0 { 0.0 } else { (middle - reach) / scale };
    let high = if some == all { 1.0 } else { (middle + reach) / scale };
    (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
        for (some, all, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let told = wilson(some, all);
            assert!((told.0 - low).abs() < 5e-5 && (told.1 - high).abs() < 5e-5, "{told:?}");
        }
        assert_eq!((wilson(0, 0), wilson(20, 20).1), ((0.0, 1.0), 1.0));
    }

    #[test]
    fn the_share_is_inside_and_more_of_the_same_makes_it_surer() {
        let mut before = 1.0;
        for scale in [1, 10, 100, 1000, 100_000] {
            let (low, high) = wilson(3 * scale, 10 * scale);
            assert!(low < 0.3 && 0.3 < high && high - low < before);
            before = high - low;
        }
    }
}
