//! The shares of a simulation as they became, drawn as SVG: a plot for each split, one below the other.
//!
//! Requests are drawn by the logarithm of their number: shares settle in the first few of them, and what
//! comes after a million is much the same.

use std::fmt::Write as _;

use super::Outcome;
use super::tally::Drawn;
use super::told::title;

/// Pixels, as all lengths here.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 40.0;
const BELOW: f64 = 56.0;
const LINE: f64 = 18.0;
/// The width of a character of the legend, at most.
const CHARACTER: f64 = 8.0;

/// Colours that can be told apart on white and on black (Okabe and Ito; black and yellow left out), and
/// the dashes of those that come again.
const COLOURS: [&str; 6] = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const DASHES: [&str; 4] = ["none", "8 4", "2 3", "8 3 2 3"];

const STYLE: &str = "\
svg{font:13px sans-serif}.b{fill:#fff}text{fill:#222}.t{font-weight:bold}\
.a{stroke:#777;fill:none}.g{stroke:#ddd}.l{fill:none;stroke-width:2}.s{fill:none;stroke-width:1;stroke-dasharray:4 4;opacity:.7}\
@media(prefers-color-scheme:dark){.b{fill:#161616}text{fill:#ddd}.a{stroke:#999}.g{stroke:#3a3a3a}}";

/// The picture of all splits.
pub(super) fn draw(outcomes: &[Outcome<'_>]) -> String {
    let plots: Vec<Plot<'_>> = outcomes.iter().map(Plot::of).collect();
    let width = plots.iter().map(Plot::width).fold(LEFT + WIDTH, f64::max);
    let height: f64 = plots.iter().map(Plot::height).sum::<f64>().max(TOP);
    let mut svg = Svg(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\"><title>Shares of requests</title>\
         <style>{STYLE}</style>\n<rect class=\"b\" width=\"{width}\" height=\"{height}\"/>\n"
    ));
    if plots.is_empty() {
        svg.text([LEFT, TOP / 2.0], "start", "t", "nothing is split");
    }
    let mut top = 0.0;
    for plot in &plots {
        svg.add(&format!("<g transform=\"translate(0 {top})\">\n"));
        plot.draw(&mut svg);
        svg.add("</g>\n");
        top += plot.height();
    }
    svg.add("</svg>\n");
    svg.0
}

struct Plot<'o> {
    title: String,
    /// Names and shares asked for, from 0 to 1.
    branches: Vec<(&'o str, f64)>,
    drawn: Vec<Drawn>,
    picks: u64,
}

impl<'o> Plot<'o> {
    fn of(outcome: &'o Outcome<'_>) -> Self {
        let share = |weight| outcome.asked_percent(weight) / 100.0;
        let branches = outcome.branches.iter().map(|(name, weight)| (*name, share(*weight)));
        let (drawn, picks) = (outcome.tally.drawn(), outcome.tally.picks());
        Self { title: title(outcome), branches: branches.collect(), drawn, picks }
    }

    fn legend(&self, index: usize, name: &str) -> String {
        let last = self.drawn.last().and_then(|last| Some(share_of(last, index)? * 100.0));
        format!("{name} {:.2} %", last.unwrap_or_default())
    }

    fn width(&self) -> f64 {
        let legends = self.branches.iter().enumerate();
        let legends = legends.map(|(index, (name, _))| self.legend(index, name).chars().count());
        let text = |count: usize| CHARACTER * count as f64;
        let legend = LEFT + WIDTH + 50.0 + text(legends.max().unwrap_or_default());
        legend.max(LEFT + text(self.title.chars().count()))
    }

    fn height(&self) -> f64 {
        TOP + BELOW + HEIGHT.max(LINE * self.branches.len() as f64)
    }

    /// Where so many requests are, and a share.
    fn place(&self, picks: f64, share: f64) -> [f64; 2] {
        let decades = (self.picks.max(2) as f64).log10();
        [LEFT + WIDTH * picks.max(1.0).log10() / decades, TOP + HEIGHT * (1.0 - share)]
    }

    fn draw(&self, svg: &mut Svg) {
        svg.text([LEFT, TOP - 16.0], "start", "t", &self.title);
        self.draw_axes(svg);
        for (index, (name, asked)) in self.branches.iter().enumerate() {
            let colour = COLOURS.get(index % COLOURS.len()).copied().unwrap_or_default();
            let dashes = index / COLOURS.len() % DASHES.len();
            let dashes = DASHES.get(dashes).copied().unwrap_or_default();
            let end = self.picks.max(2) as f64;
            let target = [self.place(1.0, *asked), self.place(end, *asked)];
            svg.line("s", &format!("stroke=\"{colour}\""), &target);
            let points = self
                .drawn
                .iter()
                .filter_map(|drawn| Some(self.place(drawn.picks as f64, share_of(drawn, index)?)));
            let pen = format!("stroke=\"{colour}\" stroke-dasharray=\"{dashes}\"");
            svg.line("l", &pen, &points.collect::<Vec<_>>());
            let (x, y) = (LEFT + WIDTH + 12.0, TOP + LINE * (index as f64 + 0.5));
            svg.line("l", &pen, &[[x, y], [x + 24.0, y]]);
            svg.text([x + 30.0, y + 4.0], "start", "", &self.legend(index, name));
        }
    }

    fn draw_axes(&self, svg: &mut Svg) {
        for percent in [0, 20, 40, 60, 80, 100] {
            let [x, y] = self.place(1.0, f64::from(percent) / 100.0);
            svg.line("g", "", &[[x, y], [x + WIDTH, y]]);
            svg.text([x - 8.0, y + 4.0], "end", "", &format!("{percent} %"));
        }
        let mut tick = 1_u64;
        while tick <= self.picks.max(2) {
            let [x, y] = self.place(tick as f64, 0.0);
            svg.line("g", "", &[[x, y - HEIGHT], [x, y]]);
            svg.text([x, y + 18.0], "middle", "", &short(tick));
            let Some(next) = tick.checked_mul(10) else { break };
            tick = next;
        }
        let (bottom, right) = (TOP + HEIGHT, LEFT + WIDTH);
        svg.line("a", "", &[[LEFT, TOP], [LEFT, bottom], [right, bottom]]);
        svg.text([LEFT + WIDTH / 2.0, bottom + 38.0], "middle", "", "requests so far");
        let share = format!("transform=\"translate(14 {}) rotate(-90)\"", TOP + HEIGHT / 2.0);
        svg.add(&format!("<text {share} text-anchor=\"middle\">share</text>\n"));
    }
}

/// The share that a branch had by then, from 0 to 1.
fn share_of(drawn: &Drawn, index: usize) -> Option<f64> {
    drawn.counts.get(index).map(|count| *count as f64 / drawn.picks.max(1) as f64)
}

/// A power of ten in few characters.
fn short(number: u64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let unit = units.iter().find(|(unit, _)| number >= *unit);
    unit.map_or(number.to_string(), |(unit, name)| format!("{}{name}", number / unit))
}

/// A picture that grows; all text goes through [`Svg::text`], which escapes it.
struct Svg(String);

impl Svg {
    fn add(&mut self, element: &str) {
        self.0.push_str(element);
    }

    fn line(&mut self, class: &str, pen: &str, points: &[[f64; 2]]) {
        let mut path = String::new();
        for [x, y] in points {
            // A text takes whatever is written to it.
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        let path = path.trim_end();
        self.add(&format!("<polyline class=\"{class}\" {pen} points=\"{path}\"/>\n"));
    }

    fn text(&mut self, [x, y]: [f64; 2], anchor: &str, class: &str, text: &str) {
        let text = escaped(text);
        let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"");
        self.add(&format!("<text {place} class=\"{class}\">{text}</text>\n"));
    }
}

/// A text that stands in XML as itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to write most of them.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(names: &[&'static str]) -> String {
        let share = 1.0 / names.len() as f64;
        let drawn = [1, 10, 1000].map(|picks| Drawn { picks, counts: vec![0; names.len()].into() });
        let branches = names.iter().map(|name| (*name, share)).collect();
        let plot =
            Plot { title: "r, rule 0".to_owned(), branches, drawn: drawn.into(), picks: 1000 };
        let mut svg = Svg(String::new());
        plot.draw(&mut svg);
        svg.0
    }

    #[test]
    fn a_name_cannot_break_the_picture() {
        let svg = plot(&["<script>&\"\u{1b}"]);
        assert!(svg.contains("&lt;script&gt;&amp;&quot;\u{fffd} 0.00 %"), "{svg}");
        assert!(!svg.contains("<script"), "{svg}");
    }

    #[test]
    fn every_branch_has_a_line_a_target_and_a_legend_of_its_own() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let svg = plot(&names);
        let lines: Vec<&str> = svg.lines().filter(|line| line.contains("class=\"l\"")).collect();
        assert_eq!(lines.len(), 2 * names.len(), "a line and a legend each: {svg}");
        let pens: std::collections::BTreeSet<&str> =
            lines.iter().filter_map(|line| line.split(" points").next()).collect();
        assert_eq!(pens.len(), names.len(), "{pens:?}");
        assert_eq!(svg.matches("class=\"s\"").count(), names.len(), "{svg}");
        assert!(svg.contains(">1k</text>") && svg.contains(">100 %</text>"), "{svg}");
    }
}
