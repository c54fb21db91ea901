//! An explanation as lines for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use splitway_core::explain::{By, Explanation, Headers, Pick, Request};
use splitway_local::client::error::plain;

const LABEL: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const ADDED: Style = AnsiColor::Green.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const PLAIN: Style = Style::new();

/// So many routes that were not asked are shown.
const NOT_ASKED_MAX: usize = 8;
/// So many characters of a body are shown.
const BODY_MAX: usize = 2000;

/// Writes what would become of a request: who takes it and why nobody else, what is picked, what is
/// sent.
pub(crate) fn tell(out: &mut impl Write, told: &Explanation) -> io::Result<()> {
    line(out, "revision", PLAIN, &told.revision)?;
    match &told.route {
        Some(route) => line(out, "route", GOOD, route)?,
        None => line(out, "route", PLAIN, "none")?,
    }
    let pairs = |list: &[splitway_core::explain::PassedRoute]| -> Vec<(String, String)> {
        list.iter().map(|it| (it.route.clone(), it.why.clone())).collect()
    };
    reasons(out, "  passed", &pairs(&told.passed_over), told.passed_over_more)?;
    let shown = told.not_asked.get(..NOT_ASKED_MAX).unwrap_or(&told.not_asked);
    let more = told.not_asked.len() - shown.len() + told.not_asked_more;
    reasons(out, "  not asked", &pairs(shown), more)?;
    let mut label = "guards";
    for guard in &told.guards {
        match guard.answers {
            None => line(out, label, GOOD, &guard.plugin)?,
            Some(status) => line(out, label, BAD, &format!("{} answers {status}", guard.plugin))?,
        }
        label = "";
    }
    if let Some(consumer) = &told.consumer {
        line(out, "consumer", GOOD, consumer)?;
    }
    if let Some(rule) = told.rule {
        line(out, "rule", GOOD, &rule.to_string())?;
    } else if !told.rules_passed_over.is_empty() {
        line(out, "rule", PLAIN, "none")?;
    }
    let rules = told.rules_passed_over.iter().map(|it| (it.rule.to_string(), it.why.clone()));
    reasons(out, "  passed", &rules.collect::<Vec<_>>(), told.rules_passed_over_more)?;
    if let Some(pick) = &told.pick {
        tell_pick(out, pick)?;
    }
    if told.reads_body {
        line(out, "body", PLAIN, "is read before anything is sent")?;
    }
    if let Some(request) = &told.request {
        tell_request(out, request)?;
    }
    if let Some(headers) = told.response_headers.as_ref().filter(|it| **it != Headers::default()) {
        tell_headers(out, "response", headers)?;
    }
    if let Some(problem) = &told.problem {
        let text = format!("{} {}: {}", problem.status, problem.error, problem.title);
        line(out, "problem", BAD, &text)?;
    }
    Ok(())
}

fn tell_pick(out: &mut impl Write, pick: &Pick) -> io::Result<()> {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let by = match pick.by {
        By::Whole => "the route's own upstream, nothing is split".to_owned(),
        By::Turn => "by turns".to_owned(),
        By::Key => format!("by the key {:?} in {}", text(&pick.key), text(&pick.found_in)),
        By::Issued => "by a key that is drawn and issued; another draw may pick another".to_owned(),
        By::Override => "asked for by name".to_owned(),
    };
    write!(out, "{LABEL}{:<12}{LABEL:#}{GOOD}{}{GOOD:#}", "branch", plain(&pick.branch))?;
    writeln!(out, ", {}", plain(&by))?;
    if let Some(denied) = &pick.denied {
        line(out, "  denied", CHANGED, denied)?;
    }
    if let Some(point) = &pick.point {
        line(out, "  point", PLAIN, point)?;
    }
    if let Some(kind) = &pick.upstream_type {
        line(out, "  nodes", PLAIN, &format!("picked by {kind}"))?;
    }
    if pick.retries > 0 {
        line(out, "  retries", PLAIN, &format!("up to {} at its upstream", pick.retries))?;
    }
    if let Some(other) = &pick.on_failure {
        line(out, "  failures", PLAIN, &format!("to {other}"))?;
    }
    if pick.by == By::Whole {
        return Ok(());
    }
    let total: u64 = pick.branches.iter().map(|it| u64::from(it.weight)).sum();
    let wide = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let name_width = wide(&mut pick.branches.iter().map(|it| it.name.chars().count()));
    let weight_width = wide(&mut pick.branches.iter().map(|it| it.weight.to_string().len()));
    let percents = pick.branches.iter().map(|it| percent(u64::from(it.weight), total));
    let percents: Vec<String> = percents.collect();
    let percent_width = wide(&mut percents.iter().map(String::len));
    let mut label = "  shares";
    for (share, percent) in pick.branches.iter().zip(&percents) {
        let (name, weight) = (plain(&share.name), share.weight);
        let text =
            format!("{name:<name_width$}  {weight:>weight_width$}  {percent:>percent_width$}");
        line(out, label, if share.name == pick.branch { GOOD } else { PLAIN }, &text)?;
        label = "";
    }
    Ok(())
}

/// A share, to two places.
fn percent(weight: u64, total: u64) -> String {
    let hundredths = (weight * 10_000).checked_div(total).unwrap_or_default();
    match hundredths % 100 {
        0 => format!("{} %", hundredths / 100),
        rest => format!("{}.{rest:02} %", hundredths / 100),
    }
}

fn tell_request(out: &mut impl Write, request: &Request) -> io::Result<()> {
    let Request { method, url, host, timeout_ms, headers, body, body_bytes } = request;
    line(out, "request", GOOD, &format!("{method} {url}"))?;
    line(out, "  host", PLAIN, host)?;
    let millis = timeout_ms % 1000;
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    line(out, "  timeout", PLAIN, &format!("{}{fraction} s", timeout_ms / 1000))?;
    tell_headers(out, "  headers", headers)?;
    if let (Some(body), Some(length)) = (body, body_bytes) {
        let shown: String = body.chars().take(BODY_MAX).collect();
        let is_cut = shown.len() < body.len() || body.len() < *length;
        let rest = if is_cut { "…" } else { "" };
        line(out, "  body", CHANGED, &format!("{shown}{rest}"))?;
        line(out, "", PLAIN, &format!("{length} bytes"))?;
    }
    Ok(())
}

/// What goes with `-`, what is set with `=`, what is added with `+`.
fn tell_headers(out: &mut impl Write, label: &str, headers: &Headers) -> io::Result<()> {
    let Headers { remove, set, add } = headers;
    let mut label = label;
    let removed = remove.iter().map(|name| (REMOVED, format!("- {name}")));
    let set = set.iter().map(|(name, value)| (CHANGED, format!("= {name}: {value}")));
    let added = add.iter().map(|(name, value)| (ADDED, format!("+ {name}: {value}")));
    for (style, text) in removed.chain(set).chain(added) {
        line(out, label, style, &text)?;
        label = "";
    }
    Ok(())
}

/// Writes names with reasons below each other.
fn reasons(
    out: &mut impl Write,
    label: &str,
    list: &[(String, String)],
    more: usize,
) -> io::Result<()> {
    let width = list.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut label = label;
    for (name, why) in list {
        line(out, label, PLAIN, &format!("{:<width$}  {why}", plain(name)))?;
        label = "";
    }
    if more > 0 {
        line(out, label, PLAIN, &format!("and {more} more"))?;
    }
    Ok(())
}

fn line(out: &mut impl Write, label: &str, style: Style, text: &str) -> io::Result<()> {
    writeln!(out, "{LABEL}{label:<12}{LABEL:#}{style}{}{style:#}", plain(text))
}
