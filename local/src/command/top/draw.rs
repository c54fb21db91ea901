//! Draws the screen.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::Widget;
use splitway_core::status::{BreakerStatus, Scope};
use splitway_local::client::error::plain;

use super::columns::{Column, beside, columns};
use super::screen::Screen;
use super::view::{Group, Line, View};
use super::words::{bar, interval, lasting, millis, percent, rate};

/// A line of the body.
enum Row<'v> {
    Rule(&'v Group),
    Branch(&'v Line),
}

impl Screen {
    /// Draws all of it.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        self.render(frame.area(), frame.buffer_mut());
    }

    fn render(&mut self, area: Rect, cells: &mut Buffer) {
        let line = Constraint::Length(1);
        let [title, totals, head, body, foot] =
            Layout::vertical([line, line, line, Constraint::Min(0), line]).areas(area);
        self.title().render(title, cells);
        self.totals().render(totals, cells);
        let columns = columns(area.width);
        let titles = columns.iter().map(|it| (*it, it.title().to_owned(), Style::new()));
        draw_line(head, cells, "route, branch", titles, faint().add_modifier(Modifier::UNDERLINED));
        let chosen = self.view.as_ref().map(|view| view.chosen(self.sort, &self.filter));
        self.body(body, cells, &columns, chosen.as_deref().unwrap_or_default());
        self.foot().render(foot, cells);
    }

    fn title(&self) -> Text<'static> {
        let mut words = vec![Span::styled("splitway top", Modifier::BOLD), Span::raw("  ")];
        words.push(Span::raw(plain(&self.server)));
        if let Some(view) = &self.view {
            words.push(Span::raw(format!("  revision {}", plain(&view.revision))));
            let whose = match view.scope {
                Scope::Process => "",
                Scope::Edge => " at the edge",
            };
            let counted = lasting(view.at_ms.saturating_sub(view.since_ms));
            words.push(Span::styled(format!("  counting for {counted}{whose}"), faint()));
        }
        Text::from(words)
    }

    /// What all branches do together, or that nobody answers.
    fn totals(&self) -> Text<'static> {
        if let Some(absence) = &self.absence {
            let span = lasting(u64::try_from(absence.lasting.as_millis()).unwrap_or(u64::MAX));
            let hint = absence.hint.as_ref().map(|it| format!("; {it}")).unwrap_or_default();
            let text = format!(" AWAY {span}: {}{hint} ", plain(&absence.why));
            return Text::styled(text, self.alarm().add_modifier(Modifier::REVERSED));
        }
        let Some(view) = &self.view else { return Text::raw("waiting for an answer") };
        let Some((requests, errors)) = view.totals() else {
            return Text::raw("waiting for a second answer, to compare with");
        };
        let mut words = vec![Span::raw(format!("{} req/s", rate(Some(requests))))];
        if requests > 0.0 {
            words.push(Span::raw(format!(", {} % errors", percent(Some(errors / requests)))));
        }
        if !view.problems_per_s.is_empty() {
            words.push(Span::styled(format!("  {}", problems(view)), self.warning()));
        }
        Text::from(words)
    }

    fn body(&mut self, area: Rect, cells: &mut Buffer, columns: &[Column], groups: &[Group]) {
        let rows = groups.iter().flat_map(|group| {
            std::iter::once(Row::Rule(group)).chain(group.branches.iter().map(Row::Branch))
        });
        let rows: Vec<Row<'_>> = rows.collect();
        self.page = usize::from(area.height);
        self.scroll = self.scroll.min(rows.len().saturating_sub(self.page));
        if rows.is_empty() && self.view.is_some() {
            let text = if self.filter.is_empty() { "no routes" } else { "nothing fits the filter" };
            Text::styled(text, faint()).render(area, cells);
        }
        for (row, place) in rows.iter().skip(self.scroll).zip(area.rows()) {
            match row {
                Row::Rule(group) => self.rule(group).render(place, cells),
                Row::Branch(branch) => {
                    let figures = columns.iter().map(|it| self.figure(*it, branch));
                    let name = format!("  {}", plain(&branch.name));
                    draw_line(place, cells, &name, figures, self.freshness());
                }
            }
        }
    }

    /// Which rule of which route the branches below are of.
    fn rule(&self, group: &Group) -> Text<'static> {
        let mut words = vec![Span::styled(plain(&group.route), Modifier::BOLD)];
        let mut more = Vec::new();
        more.extend(group.name.as_ref().map(|name| plain(name)));
        more.push(plain(&group.uris.join(" ")));
        more.extend(group.rule.map(|rule| format!("rule {rule}")));
        more.extend(group.from.as_ref().map(|from| format!("of {}", plain(from))));
        if let (Some(since), Some(view)) = (group.shares_since_ms, &self.view) {
            let span = lasting(view.at_ms.saturating_sub(since));
            more.push(format!("weights changed {span} ago"));
        }
        words.extend(more.into_iter().map(|text| Span::styled(format!("  {text}"), faint())));
        Text::from(words).patch_style(self.freshness())
    }

    fn figure(&self, column: Column, line: &Line) -> (Column, String, Style) {
        let (rates, plain) = (line.rates, Style::new());
        let (text, style) = match column {
            Column::Target => (percent(Some(line.target)), plain),
            Column::Share if line.is_off() => (format!("{}!", percent(line.share)), self.warning()),
            // In line with those that have a mark.
            Column::Share => (format!("{} ", percent(line.share)), plain),
            Column::Interval => (interval(line.interval), faint()),
            Column::Bar => {
                let width = usize::from(column.width());
                (bar(line.target, line.interval, width), faint())
            }
            Column::Requests => (rate(rates.map(|it| it.requests)), plain),
            Column::Errors => {
                let share = rates.and_then(|it| it.error_share);
                let style = if share.is_some_and(|it| it > 0.0) { self.alarm() } else { plain };
                (percent(share), style)
            }
            Column::P50 => (millis(rates.and_then(|it| it.p50_ms)), plain),
            Column::P99 => (millis(rates.and_then(|it| it.p99_ms)), plain),
            Column::Breaker => {
                let style = match line.breaker {
                    BreakerStatus::Open => self.alarm(),
                    BreakerStatus::HalfOpen => self.warning(),
                    BreakerStatus::Closed | BreakerStatus::None => faint(),
                };
                (line.breaker.as_str().to_owned(), style)
            }
        };
        (column, text, style)
    }

    /// What keys there are, and what they have chosen.
    fn foot(&self) -> Text<'static> {
        if self.is_typing {
            let words = [
                Span::styled(format!("/{}_", plain(&self.filter)), Modifier::BOLD),
                Span::styled("  Enter keeps it, Esc takes it away", faint()),
            ];
            return Text::from(words.to_vec());
        }
        let filter = match self.filter.as_str() {
            "" => "filter".to_owned(),
            filter => format!("filter: {}", plain(filter)),
        };
        let text = format!("q quit  s sort: {}  / {filter}  arrows scroll", self.sort.as_str());
        Text::styled(text, faint())
    }

    /// How what may be out of date looks.
    fn freshness(&self) -> Style {
        if self.absence.is_some() { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    fn warning(&self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.is_coloured { style.fg(Color::Yellow) } else { style }
    }

    fn alarm(&self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.is_coloured { style.fg(Color::Red) } else { style }
    }
}

fn faint() -> Style {
    // A colour that is faint on one background is not to be seen on another.
    Style::new().add_modifier(Modifier::DIM)
}

/// What Splitway answered by itself, the most frequent first.
fn problems(view: &View) -> String {
    let mut problems: Vec<(&String, &f64)> = view.problems_per_s.iter().collect();
    problems.sort_by(|one, other| other.1.total_cmp(one.1));
    let words =
        problems.iter().map(|(token, often)| format!("{} {}/s", plain(token), rate(Some(**often))));
    words.collect::<Vec<_>>().join(", ")
}

/// Draws a name, and the figures from the right edge on.
fn draw_line(
    area: Rect,
    cells: &mut Buffer,
    name: &str,
    figures: impl Iterator<Item = (Column, String, Style)>,
    style: Style,
) {
    let figures: Vec<_> = figures.collect();
    let columns: Vec<Column> = figures.iter().map(|(column, _, _)| *column).collect();
    cells.set_style(area, style);
    let name_width = area.width.saturating_sub(beside(&columns));
    Text::raw(name.to_owned()).render(Rect { width: name_width, ..area }, cells);
    let mut x = area.x.saturating_add(name_width);
    for (column, text, own) in figures {
        let alignment = if column.is_right() { Alignment::Right } else { Alignment::Left };
        let place = Rect { x: x.saturating_add(1), width: column.width(), ..area };
        let text = Text::styled(text, style.patch(own)).alignment(alignment);
        text.render(place.intersection(area), cells);
        x = x.saturating_add(column.width() + 1);
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic is how tests fail")]
mod tests;
