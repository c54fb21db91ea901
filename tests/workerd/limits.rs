//! Shared limits: the object that counts one key, and what many isolates make of it.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use splitway_core::limit::{Grant, Terms, Toll};
use splitway_tests::script::DEADLINE;
use tempfile::TempDir;

use crate::miniflare::Miniflare;

fn toll(key: &str, terms: Terms, want: u32) -> Toll {
    Toll { key: key.to_owned(), terms, want }
}

fn fixed(count: u64, window_ms: u64) -> Terms {
    Terms::Fixed { count, window_ms }
}

fn in_folder(folder: &TempDir) -> Miniflare {
    Miniflare::start(&json!({"folder": folder.path()}))
}

/// Waits until so many values are stored.
fn await_stored(miniflare: &mut Miniflare, values: &str) {
    let begin = Instant::now();
    while miniflare.stored() != values {
        assert!(begin.elapsed() < DEADLINE, "there are {} and not {values}", miniflare.stored());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_object_grants_what_an_account_does() {
    let mut miniflare = Miniflare::start(&json!({}));
    let mut of = |key: &str, terms, want| miniflare.toll(&toll(key, terms, want));
    let (mut given, mut last) = (0, Grant::default());
    while given < 100 {
        last = of("a", fixed(100, 600_000), 10);
        assert!(last.granted > 0, "{given}: {last:?}");
        given += last.granted;
    }
    assert_eq!((given, last.remaining), (100, 0));
    let refused = of("a", fixed(100, 600_000), 10);
    assert_eq!(refused.granted, 0);
    assert!((1..=600_000).contains(&refused.reset_ms), "{refused:?}");
    assert_eq!(of("b", fixed(100, 600_000), 10).granted, 10, "another key is another object");
    let (rate_milli, burst_milli) = (1, 1000);
    let leaky = Terms::Leaky { rate_milli, burst_milli };
    assert_eq!(of("c", leaky.clone(), 1).granted, 1);
    let held_up = of("c", leaky, 1);
    assert!(
        held_up.granted == 1 && (900_000..=1_000_000).contains(&held_up.pause_ms),
        "{held_up:?}"
    );
    let enter = |id: &str| {
        let (conn, burst, delay_ms, hold_ms) = (1, 0, 0, 600_000);
        Terms::Enter { conn, burst, delay_ms, id: id.to_owned(), hold_ms }
    };
    assert_eq!(of("d", enter("one"), 1).granted, 1);
    assert_eq!(of("d", enter("two"), 1).granted, 0);
    of("d", Terms::Leave { id: "one".to_owned() }, 1);
    assert_eq!(of("d", enter("two"), 1).granted, 1);
}

#[test]
fn what_was_counted_outlives_its_object_and_the_runtime() {
    let folder = TempDir::new().unwrap();
    let mut miniflare = in_folder(&folder);
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 600_000), 1)).remaining, 9);
    await_stored(&mut miniflare, "1");
    miniflare.evict("a");
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 600_000), 1)).remaining, 8);
    // That one is written a second later.
    thread::sleep(Duration::from_millis(2500));
    miniflare.kill();
    let mut miniflare = in_folder(&folder);
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 600_000), 1)).remaining, 7);
}

#[test]
fn what_has_expired_is_deleted() {
    let folder = TempDir::new().unwrap();
    let mut miniflare = in_folder(&folder);
    // One is written and deleted by its alarm, the other is never written.
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 4000), 1)).remaining, 9);
    assert_eq!(miniflare.toll(&toll("b", fixed(10, 100), 1)).remaining, 9);
    await_stored(&mut miniflare, "1");
    await_stored(&mut miniflare, "0");
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 4000), 1)).remaining, 9);
    let logged = miniflare.logged();
    assert!(logged.is_empty(), "{logged:?}");
}
