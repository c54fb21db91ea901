//! Maps of headers that are used again: each request brings one, and each response another. One in which a usual head and what is added to it has room is more than an
//! allocator has at hand.

use std::cell::RefCell;

use http::HeaderMap;

/// So many maps are kept by a thread: as many as requests are under way at once in a busy one. All of them take
/// less than 400 KB.
const KEPT_MAX: usize = 256;

/// Those that have room for more are not kept.
const ROOM_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map with room for so many headers.
pub(crate) fn take(count: usize) -> HeaderMap {
    let spare = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    match spare.capacity() >= count {
        true => spare,
        false => HeaderMap::with_capacity(count),
    }
}

/// Keeps a map that nobody needs any more.
pub(crate) fn put(mut map: HeaderMap) {
    if (1..=ROOM_MAX).contains(&map.capacity()) {
        map.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT_MAX {
                spare.push(map);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_map_that_is_kept_is_empty_and_has_its_room() {
        let mut map = HeaderMap::with_capacity(10);
        let room = map.capacity();
        map.insert("x-secret", HeaderValue::from_static("a"));
        map.append("x-secret", HeaderValue::from_static("b"));
        put(map);
        let kept = take(room);
        assert_eq!((kept.len(), kept.capacity()), (0, room));
        assert!(kept.get("x-secret").is_none());
        put(kept);
        assert!(take(room + 1).capacity() > room);
        put(HeaderMap::with_capacity(ROOM_MAX * 2));
        assert_eq!(take(0).capacity(), 0);
    }
}
