//! The picture: CPU per request of each proxy in each case, as bars, with nginx at 1.

use std::fmt::Write as _;

use crate::case::Table;
use crate::lane::Kind;
use crate::table::Measured;

/// Where bars begin, and how long 1 is.
const LEFT: f64 = 330.0;
const UNIT: f64 = 260.0;
/// Bars end here, and say so by their figure.
const MOST: f64 = 2.0;
const BAR: f64 = 15.0;
/// Above the bars are the title and what it was made with.
const TOP: f64 = 68.0;

/// Draws the cases that compare requests; nothing if there are none.
pub(crate) fn svg(measured: &[Measured<'_>], machine: &str) -> Option<String> {
    let (mut bars, mut y) = (String::new(), TOP);
    for (case, lanes) in measured.iter().filter(|(case, _)| case.table == Table::Requests) {
        // A string takes whatever is written to it.
        let _ = writeln!(
            bars,
            r#"<text x="8" y="{:.0}" class="case">{}</text>"#,
            y + 12.0,
            escaped(case.title)
        );
        for (lane, series) in
            case.lanes.iter().zip(lanes).filter(|(lane, _)| lane.kind != Kind::Floor)
        {
            bar(&mut bars, y, &lane.name, lane.kind, series.ratio(|turn| turn.cpu));
            y += BAR + 2.0;
        }
        y += 10.0;
    }
    let (machine, programs) = machine.split_once("; ").unwrap_or((machine, ""));
    if bars.is_empty() {
        return None;
    }
    let (width, height, one) = (LEFT + UNIT * MOST + 60.0, y + 24.0, LEFT + UNIT);
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" font-family="sans-serif" font-size="11">
<style>.case {{ font-weight: bold }} .title {{ font-size: 14px; font-weight: bold }} .name {{ text-anchor: end }}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="8" y="20" class="title">CPU per request, nginx = 1 (less is better; whiskers: quartiles; bars end at 2)</text>
<text x="8" y="38" fill="#555555">{machine}</text>
<text x="8" y="52" fill="#555555">{programs}</text>
<line x1="{one:.0}" y1="60" x2="{one:.0}" y2="{y:.0}" stroke="#888888" stroke-dasharray="3 3"/>
{bars}</svg>
"##,
        machine = escaped(machine),
        programs = escaped(programs)
    ))
}

/// A bar with its name before and its figure behind it, and the quartiles on it.
fn bar(bars: &mut String, y: f64, name: &str, kind: Kind, [low, ratio, high]: [f64; 3]) {
    if !ratio.is_finite() {
        return;
    }
    let at = |ratio: f64| LEFT + UNIT * ratio.min(MOST);
    let colour = match kind {
        Kind::Splitway => "#d9541e",
        Kind::Nginx => "#7aa874",
        Kind::Haproxy => "#6f8fbf",
        Kind::Floor | Kind::Direct => "#bbbbbb",
    };
    // The title of the case has the first 200; what is tuned says so by its setting alone.
    let name = name.rsplit_once(", ").map_or(name, |(_, setting)| setting);
    let (middle, end) = (y + BAR / 2.0, at(high).max(at(ratio)));
    let _ = writeln!(
        bars,
        r##"<text x="{:.0}" y="{:.0}" class="name">{}</text><rect x="{LEFT:.0}" y="{y:.0}" width="{:.1}" height="{BAR:.0}" fill="{colour}"/><line x1="{:.1}" y1="{middle:.1}" x2="{:.1}" y2="{middle:.1}" stroke="#333333"/><text x="{:.1}" y="{:.0}">{ratio:.2}</text>"##,
        LEFT - 6.0,
        y + 12.0,
        escaped(name),
        at(ratio) - LEFT,
        at(low),
        at(high),
        end + 5.0,
        y + 12.0,
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
