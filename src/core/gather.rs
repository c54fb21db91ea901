//! Lists, maps and sets in order, made without the standard library's sorting: to `collect` a map is to sort
//! first, which is some 4 KB of wasm for each type. What is here is a tenth of that.

/// See [`Gather::gather`].
pub(crate) trait Gather: Iterator + Sized {
    /// The items as a map or a set, put in one by one. As with `collect`, the last of equals counts.
    fn gather<C: Default + Extend<Self::Item>>(self) -> C {
        let mut all = C::default();
        all.extend(self);
        all
    }
}

impl<I: Iterator> Gather for I {}

/// The items by rank; those of one rank stay in order.
pub(crate) fn ranked<T>(list: Vec<T>, rank: impl Fn(&T) -> i128) -> Vec<T> {
    let ranks = list.iter().enumerate().map(|(index, item)| (rank(item), index));
    let mut order: Vec<(i128, usize)> = ranks.collect();
    order.sort_unstable();
    let mut list: Vec<Option<T>> = list.into_iter().map(Some).collect();
    order.into_iter().filter_map(|(_, index)| list.get_mut(index)?.take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_last_of_equals_counts() {
        let map: BTreeMap<u8, char> = [(2, 'a'), (1, 'b'), (2, 'c')].into_iter().gather();
        assert!(map.into_iter().eq([(1, 'b'), (2, 'c')]));
    }

    #[test]
    fn those_of_one_rank_stay_in_order() {
        let list = vec![(2, 'a'), (-1, 'b'), (2, 'c'), (-1, 'd')];
        let ranked = ranked(list, |(rank, _)| i128::from(*rank));
        assert_eq!(ranked, [(-1, 'b'), (-1, 'd'), (2, 'a'), (2, 'c')]);
    }
}
