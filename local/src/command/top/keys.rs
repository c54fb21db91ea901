//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::screen::Screen;

/// The longest filter.
const FILTER_MAX: usize = 64;

/// Whether the view goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Quit,
}

impl Screen {
    /// Does what a key is for.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what else there is, is chosen from")]
    pub(super) fn press(&mut self, key: KeyEvent) -> Next {
        if key.kind == KeyEventKind::Release {
            return Next::GoOn;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => Next::Quit,
            _ if self.is_typing => {
                self.edit(key.code, is_control);
                Next::GoOn
            }
            KeyCode::Char('q') | KeyCode::Esc => Next::Quit,
            _ => {
                self.choose(key.code);
                Next::GoOn
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys do nothing")]
    fn choose(&mut self, code: KeyCode) {
        let page = self.page.max(1);
        match code {
            // Drawing knows where the end is.
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => {
                self.scroll = self.scroll.saturating_add(page);
            }
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(page),
            KeyCode::Home => self.scroll = 0,
            KeyCode::End => self.scroll = usize::MAX,
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                self.scroll = 0;
            }
            KeyCode::Char('/') => self.is_typing = true,
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys do nothing")]
    fn edit(&mut self, code: KeyCode, is_control: bool) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char('u') if is_control => self.filter.clear(),
            KeyCode::Char(c) if !is_control && self.filter.chars().count() < FILTER_MAX => {
                self.filter.push(c);
            }
            _ => {}
        }
        self.scroll = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::top::view::Sort;

    fn press(screen: &mut Screen, codes: &[KeyCode]) -> Next {
        let press = |code: &KeyCode| screen.press(KeyEvent::new(*code, KeyModifiers::NONE));
        codes.iter().map(press).last().expect("there is a key")
    }

    fn typed(text: &str) -> Vec<KeyCode> {
        text.chars().map(KeyCode::Char).collect()
    }

    #[test]
    fn three_keys_quit() {
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        let mut screen = Screen::default();
        assert_eq!(screen.press(control), Next::Quit);
        assert_eq!(press(&mut screen, &[KeyCode::Esc]), Next::Quit);
        assert_eq!(press(&mut screen, &typed("q")), Next::Quit);
        assert_eq!(press(&mut screen, &typed("xc")), Next::GoOn);
        // In a filter only one of them does.
        assert_eq!(press(&mut screen, &typed("/q")), Next::GoOn);
        assert_eq!(screen.press(control), Next::Quit);
        assert_eq!(press(&mut screen, &[KeyCode::Esc]), Next::GoOn);
        assert_eq!((screen.filter.as_str(), screen.is_typing), ("", false));
    }

    #[test]
    fn a_filter_is_typed_and_kept() {
        let mut screen = Screen { scroll: 9, ..Screen::default() };
        press(&mut screen, &typed("/sv1x"));
        press(&mut screen, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!((screen.filter.as_str(), screen.is_typing, screen.scroll), ("sv1", false, 0));
        // It is not what `s` is for while it is typed.
        assert_eq!(screen.sort, Sort::Requests);
        press(&mut screen, &typed("s"));
        assert_eq!((screen.sort, screen.filter.as_str()), (Sort::Errors, "sv1"));
        press(&mut screen, &typed(&format!("/{}", "y".repeat(200))));
        assert_eq!(screen.filter.len(), FILTER_MAX);
    }

    #[test]
    fn arrows_go_by_lines_and_pages_by_what_was_seen() {
        let mut screen = Screen { page: 10, ..Screen::default() };
        press(&mut screen, &[KeyCode::Up, KeyCode::Down, KeyCode::PageDown, KeyCode::Down]);
        assert_eq!(screen.scroll, 12);
        press(&mut screen, &[KeyCode::Up, KeyCode::PageUp]);
        assert_eq!(screen.scroll, 1);
        press(&mut screen, &[KeyCode::End, KeyCode::PageDown]);
        assert_eq!(screen.scroll, usize::MAX);
        press(&mut screen, &[KeyCode::Home]);
        assert_eq!(screen.scroll, 0);
    }
}
