use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::command::top::history::History;
use crate::command::top::samples::{branch, route, status};
use crate::command::top::screen::Absence;

/// What is seen, a text for each line, without the spaces at the ends.
fn seen(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("there is a size");
    terminal.draw(|frame| screen.draw(frame)).expect("it takes all");
    let cells = terminal.backend().buffer();
    let text = |y| (0..width).map(|x| cells[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| text(y).trim_end().to_owned()).collect()
}

/// Two routes after a second with 100 requests to the first one.
fn screen() -> Screen {
    let at = |at_ms, v1, v2| {
        let mut told = status(at_ms, vec![branch("v1", 1, v1, 0), branch("v2", 1, v2, v2 / 10)]);
        told.routes.push(route("models", vec![branch("route", 1, 7, 0)]));
        told
    };
    let mut history = History::default();
    history.take(at(60_000, 500, 500));
    let mut later = at(61_000, 550, 550);
    later.routes[0].rules[0].branches[1].breaker = BreakerStatus::HalfOpen;
    later.routes[0].name = Some("Chat\u{1b}[31m".to_owned());
    later.problems.insert("http_request_denied".to_owned(), 4);
    let view = history.take(later);
    let server = "http://127.0.0.1:9180".to_owned();
    Screen { server, view: Some(view), is_coloured: true, ..Screen::default() }
}

#[test]
fn all_is_seen_on_eighty_columns() {
    let expected = [
        "splitway top  http://127.0.0.1:9180  revision 7  counting for 1m00s",
        "100 req/s, 5.0 % errors  http_request_denied 4.0/s",
        "route, branch            target share 95% range req/s err%   p50   p99 breaker",
        "chat  Chat\\u{1b}[31m  /chat  rule 0",
        "  v1                       50.0 50.0  47.1-52.9  50.0  0.0 1.5ms 2.0ms closed",
        "  v2                       50.0 50.0  47.1-52.9  50.0 10.0 1.5ms 2.0ms half-open",
        "models  /models  rule 0",
        "  route                     100  100   64.6-100   0.0    -     -     - closed",
        "",
        "q quit  s sort: requests  / filter  arrows scroll",
    ];
    assert_eq!(seen(&mut screen(), 80, 10), expected);
}

#[test]
fn sixty_columns_are_enough_and_less_does_no_harm() {
    let lines = seen(&mut screen(), 60, 7);
    assert_eq!(lines[2], "route, bra target share 95% range req/s err%   p99 breaker");
    assert_eq!(lines[5], "  v2         50.0 50.0  47.1-52.9  50.0 10.0 2.0ms half-open");
    let wide = seen(&mut screen(), 120, 6);
    assert!(wide[4].contains(" ===========~|........... "), "{}", wide[4]);
    for (width, height) in [(0, 0), (1, 1), (5, 3), (20, 2), (30, 40), (200, 1)] {
        seen(&mut screen(), width, height);
    }
}

#[test]
fn who_is_away_is_told_and_what_was_seen_stays() {
    let mut screen = screen();
    let why = "no answer from http://127.0.0.1:9180: the connection was refused".to_owned();
    let lasting = Duration::from_secs(75);
    screen.absence = Some(Absence { why: why.clone(), hint: None, lasting });
    let lines = seen(&mut screen, 90, 8);
    assert_eq!(lines[1], format!(" AWAY 1m15s: {why}"));
    assert!(lines[4].contains("50.0"));
    screen.view = None;
    assert_eq!(seen(&mut screen, 90, 8)[4], "");
    screen.absence = None;
    assert_eq!(seen(&mut screen, 90, 8)[1], "waiting for an answer");
}

#[test]
fn what_does_not_fit_can_be_scrolled_to() {
    let mut screen = screen();
    screen.scroll = usize::MAX;
    let lines = seen(&mut screen, 80, 6);
    assert!(lines[3].starts_with("models") && lines[4].starts_with("  route"), "{lines:?}");
    assert_eq!((screen.scroll, screen.page), (3, 2));
    // There is room for all.
    seen(&mut screen, 80, 30);
    assert_eq!(screen.scroll, 0);
}

#[test]
fn a_filter_is_seen_with_what_it_leaves() {
    let mut screen = Screen { filter: "mod".to_owned(), is_typing: true, ..screen() };
    let lines = seen(&mut screen, 80, 6);
    assert!(lines[3].starts_with("models") && !lines.concat().contains("chat"), "{lines:?}");
    assert_eq!(lines[5], "/mod_  Enter keeps it, Esc takes it away");
    screen.filter = "nobody".to_owned();
    assert_eq!(seen(&mut screen, 80, 6)[3], "nothing fits the filter");
}

#[test]
fn shares_off_their_target_are_marked_also_without_colours() {
    let mut history = History::default();
    let both = vec![branch("v1", 1, 900, 0), branch("v2", 1, 100, 0)];
    let view = history.take(status(2000, both));
    let mut screen = Screen { view: Some(view), ..Screen::default() };
    let mut terminal = Terminal::new(TestBackend::new(80, 8)).expect("there is a size");
    terminal.draw(|frame| screen.draw(frame)).expect("it takes all");
    let cells = terminal.backend().buffer();
    assert!(cells.content().iter().all(|it| it.fg == Color::Reset && it.bg == Color::Reset));
    assert!(seen(&mut screen, 80, 8)[4].contains("50.0 90.0! 88.0-91.7     -"));
}
