//! Which figures there is room for.

/// A column of the screen, the name of the branch left of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Target,
    Share,
    Interval,
    Bar,
    Requests,
    Errors,
    P50,
    P99,
    Breaker,
}

/// From left to right.
const ALL: [Column; 9] = [
    Column::Target,
    Column::Share,
    Column::Interval,
    Column::Bar,
    Column::Requests,
    Column::Errors,
    Column::P50,
    Column::P99,
    Column::Breaker,
];

/// The first to go where there is little room; the last is always there. All but the first two fit in 60
/// columns.
const DISPENSABLE: [Column; 8] = [
    Column::Bar,
    Column::P50,
    Column::Interval,
    Column::Breaker,
    Column::Target,
    Column::Errors,
    Column::P99,
    Column::Share,
];

/// So much of a name is to be seen at least.
const NAME_MIN: u16 = 10;

impl Column {
    /// What stands above it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Share => "share",
            Self::Interval => "95% range",
            Self::Bar => "= share ~ range | target",
            Self::Requests => "req/s",
            Self::Errors => "err%",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Breaker => "breaker",
        }
    }

    /// How wide it is.
    pub(super) const fn width(self) -> u16 {
        match self {
            Self::Share | Self::Requests | Self::P50 | Self::P99 => 5,
            Self::Target => 6,
            Self::Bar => 24,
            Self::Errors => 4,
            Self::Interval | Self::Breaker => 9,
        }
    }

    /// Whether its figures end at one edge.
    pub(super) const fn is_right(self) -> bool {
        !matches!(self, Self::Bar | Self::Breaker)
    }
}

/// The columns that fit into a width beside a name.
pub(super) fn columns(width: u16) -> Vec<Column> {
    let mut columns = ALL.to_vec();
    for column in DISPENSABLE {
        if NAME_MIN + beside(&columns) <= width {
            break;
        }
        columns.retain(|it| *it != column);
    }
    columns
}

/// How much columns take, each with a space before it.
pub(super) fn beside(columns: &[Column]) -> u16 {
    columns.iter().map(|it| it.width() + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_columns_have_room_for_all_but_the_bar_and_the_median() {
        assert_eq!(columns(140), ALL);
        let without = |gone: &[Column]| -> Vec<Column> {
            ALL.into_iter().filter(|it| !gone.contains(it)).collect()
        };
        assert_eq!(columns(80), without(&[Column::Bar]));
        assert_eq!(columns(60), without(&[Column::Bar, Column::P50]));
        assert_eq!(columns(5), [Column::Requests]);
        for width in 0..200 {
            assert!(NAME_MIN + beside(&columns(width)) <= width.max(16), "{width}");
        }
    }
}
