//! OpenMetrics as the older text format of Prometheus has it, for clients that know no other.

/// The same lines; what is told of families names them as their lines do, and in types that there are.
/// Families of APISIX whose names end as no counter's of OpenMetrics does are counters here, as there.
pub(super) fn plain(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), rest) => help = rest,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (name, kind) = match kind {
                    "counter" => (format!("{name}_total"), "counter"),
                    "info" => (format!("{name}_info"), "gauge"),
                    "unknown" => (name.to_owned(), "counter"),
                    kind => (name.to_owned(), kind),
                };
                let help = help.take().unwrap_or_default();
                text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}
