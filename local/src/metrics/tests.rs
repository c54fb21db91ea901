use super::lines::{Unit, label};
use super::*;
use splitway_core::meter::Times;

/// What a few families look like.
#[derive(Debug)]
struct Few;

impl Collector for Few {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut lines = Lines::new(encoder);
        let labels = || vec![label("a", "\"quoted\\\n")];
        let rows = [(labels(), 1), (labels(), 2)];
        lines.counters("some", "Some.", rows.clone().into_iter())?;
        lines.plain_counters("apisix_some", "Some of APISIX.", rows.into_iter())?;
        lines.counters("none", "None.", std::iter::empty())?;
        lines.gauges("up", "Up.", [(Vec::new(), 1)].into_iter())?;
        let times = Times { counts: vec![1, 0, 2], sum_ms: 7 };
        lines.times("took_seconds", "Took.", Unit::Seconds, [(Vec::new(), times)].into_iter())?;
        lines.info("this", "This.", &vec![label("name", "x")])
    }
}

fn page() -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Few));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("memory");
    page
}

#[test]
fn lines_with_the_same_labels_are_one_and_texts_are_escaped() {
    let page = page();
    let expected = "# HELP some Some.\n# TYPE some counter\nsome_total{a=\"\\\"quoted\\\\\\n\"} 3\n\
         # HELP apisix_some Some of APISIX.\n# TYPE apisix_some unknown\n\
         apisix_some{a=\"\\\"quoted\\\\\\n\"} 3\n# HELP up Up.\n# TYPE up gauge\nup 1\n";
    assert!(page.starts_with(expected), "{page}");
    assert!(page.contains("took_seconds_bucket{le=\"0.003\"} 3\n"), "{page}");
    assert!(page.contains("took_seconds_sum{} 0.007\ntook_seconds_count{} 3\n"), "{page}");
    assert!(page.ends_with("# TYPE this info\nthis_info{name=\"x\"} 1\n# EOF\n"), "{page}");
}

#[test]
fn the_older_format_names_families_as_their_lines_and_knows_counters_of_apisix() {
    let text = plain::plain(&page());
    for line in [
        "# HELP some_total Some.",
        "# TYPE some_total counter",
        "# TYPE apisix_some counter",
        "# TYPE took_seconds histogram",
        "# TYPE this_info gauge",
        "this_info{name=\"x\"} 1",
    ] {
        assert!(text.lines().any(|own| own == line), "no {line}\nin\n{text}");
    }
    assert!(!text.contains("EOF"), "{text}");
}

#[test]
fn open_metrics_is_for_those_who_ask_for_it() {
    for (accept, takes) in [
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3,*/*;q=0.1", true),
        ("text/plain, Application/OpenMetrics-Text; version=1.0.0", true),
        ("application/openmetrics-text;q=0, text/plain", false),
        ("text/plain", false),
        ("*/*", false),
        ("", false),
    ] {
        let accept = HeaderValue::from_static(accept);
        let headers: HeaderMap = [(ACCEPT, accept)].into_iter().collect();
        assert_eq!(takes_open_metrics(&headers), takes, "{headers:?}");
    }
    assert!(!takes_open_metrics(&HeaderMap::new()));
}
