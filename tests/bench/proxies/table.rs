//! The tables, in Markdown, as the README has them.

use std::fmt::Write as _;

use crate::case::{Case, Table};
use crate::figures::{Figure, Series};

/// A case with the turns of each of its lanes.
pub(crate) type Measured<'a> = (&'a Case, Vec<Series>);

/// All tables that there are figures for, below a line that says what they were made with.
pub(crate) fn markdown(measured: &[Measured<'_>], machine: &str) -> String {
    let mut text = format!("{machine}.\n");
    let of = |wanted: fn(Table) -> bool| -> Vec<&Measured<'_>> {
        measured.iter().filter(|(case, _)| wanted(case.table)).collect()
    };
    requests(&mut text, &of(|table| table == Table::Requests));
    streams(&mut text, &of(|table| table == Table::Streams));
    memory(&mut text, &of(|table| table == Table::Memory));
    growth(&mut text, &of(|table| matches!(table, Table::Growth(_))));
    if measured.iter().any(|(_, lanes)| lanes.iter().any(|series| series.busy)) {
        text.push_str("\n\\* other processes had the core for a part of most rounds.\n");
    }
    text
}

// A string takes whatever is written to it, so what `write!` returns here is dropped.

fn requests(text: &mut String, measured: &[&Measured<'_>]) {
    if measured.is_empty() {
        return;
    }
    text.push_str(
        "\n| case | proxy | CPU per request | quartiles | us (user) | requests/s | p50 us | p99 us | memory MB |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (case, lanes) in measured {
        for (lane, series) in case.lanes.iter().zip(lanes) {
            let [low, ratio, high] = series.ratio(|turn| turn.cpu);
            let (us, user) = (series.median(|turn| turn.cpu), series.median(|turn| turn.user));
            let rate = with_ratio(series, |turn| turn.rate, 1.0, 0);
            let p50 = with_ratio(series, |turn| turn.p50, 1.0, 0);
            let p99 = with_ratio(series, |turn| turn.p99, 1.0, 0);
            let memory = with_ratio(series, |turn| turn.memory, 1.0 / 1024.0, 1);
            let (name, star) = (name(&lane.name), star(series));
            let _ = writeln!(
                text,
                "| {} | {name} | {ratio:.2}{star} | {low:.2}-{high:.2} | {us:.1} ({user:.1}) | {rate} | {p50} | {p99} | {memory} |",
                case.title
            );
        }
    }
}

fn streams(text: &mut String, measured: &[&Measured<'_>]) {
    for (case, lanes) in measured {
        let _ = write!(
            text,
            "\n| {} | first byte us | added | each event p50 us | added | p99 us | added | p99 to nginx | quartiles | CPU per event us |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
            case.title
        );
        let direct = lanes.last();
        let cells = |series: &Series, figure: Figure| {
            let value = series.median(figure);
            let added = value - direct.map_or(f64::NAN, |direct| direct.median(figure));
            format!("{value:.0} | {added:+.0}")
        };
        for (lane, series) in case.lanes.iter().zip(lanes) {
            let [low, ratio, high] = series.ratio(|turn| turn.p99);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {ratio:.2}{} | {low:.2}-{high:.2} | {:.1} |",
                name(&lane.name),
                cells(series, |turn| turn.first),
                cells(series, |turn| turn.p50),
                cells(series, |turn| turn.p99),
                star(series),
                series.median(|turn| turn.cpu),
            );
        }
    }
}

fn memory(text: &mut String, measured: &[&Measured<'_>]) {
    for (case, lanes) in measured {
        let _ = write!(
            text,
            "\n| memory, {} | idle MB | each connection KiB | more than nginx KiB |\n|---|---|---|---|\n",
            case.title
        );
        let nginx = lanes.first().map_or(f64::NAN, |first| first.median(|turn| turn.connection));
        for (lane, series) in case.lanes.iter().zip(lanes) {
            let each = series.median(|turn| turn.connection);
            let idle = with_ratio(series, |turn| turn.memory, 1.0 / 1024.0, 1);
            let _ = writeln!(
                text,
                "| {} | {idle} | {each:.1} | {:+.1} |",
                name(&lane.name),
                each - nginx
            );
        }
    }
}

fn growth(text: &mut String, measured: &[&Measured<'_>]) {
    if measured.is_empty() {
        return;
    }
    text.push_str("\n| CPU per request with more | proxy | | | |\n|---|---|---|---|---|\n");
    for (case, lanes) in measured {
        let Table::Growth(sizes) = case.table else { continue };
        for (lanes, series) in case.lanes.chunks(sizes.len()).zip(lanes.chunks(sizes.len())) {
            let Some(lane) = lanes.first() else { continue };
            let _ = write!(text, "| {} | {} |", case.title, name(&lane.name));
            for (at, (size, series)) in sizes.iter().zip(series).enumerate() {
                let us = series.median(|turn| turn.cpu);
                let [low, ratio, high] = series.ratio(|turn| turn.cpu);
                let _ = match at {
                    0 => write!(text, " {size}: {us:.1} us{} |", star(series)),
                    _ => write!(text, " {size}: {ratio:.2}{} ({low:.2}-{high:.2}) |", star(series)),
                };
            }
            text.push('\n');
        }
    }
}

/// A figure, and behind it its ratio to the other lane: `38120 (1.12)`.
fn with_ratio(series: &Series, figure: Figure, unit: f64, digits: usize) -> String {
    let [_, ratio, _] = series.ratio(figure);
    format!("{:.digits$} ({ratio:.2})", series.median(figure) * unit)
}

/// Marks figures of a busy core.
fn star(series: &Series) -> &'static str {
    if series.busy { "\\*" } else { "" }
}

/// The one that this is about stands out.
fn name(name: &str) -> String {
    if name == "splitway" { format!("**{name}**") } else { name.to_owned() }
}
