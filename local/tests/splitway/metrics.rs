//! Metrics: what is at their address, line by line, and that everything the dashboard asks for is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};
use splitway_tests::message::{Answer, Call};
use splitway_tests::origin::Origin;
use splitway_tests::script::Reply;
use splitway_tests::wire;

use crate::api::{KEY, serving};
use crate::process::{Files, PATIENCE, Serving, origin, run, splitway};

/// Serves a document and shows metrics.
pub(crate) fn measured(files: &Files, document: &Value) -> Serving {
    let mut command = splitway();
    command.env("SPLITWAY_METRICS_LISTEN", "127.0.0.1:0");
    let path = files.write("config.json", &document.to_string());
    let mut serving = Serving::start(command, &["--config", &path]);
    serving.find_metrics();
    serving
}

/// What is at a path of the metrics.
fn ask(serving: &Serving, call: &Call) -> Answer {
    wire::call(serving.metrics.expect("there are metrics"), call)
}

/// A scrape, as Prometheus asks for it.
fn scrape(serving: &Serving) -> Answer {
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    ask(serving, &Call::get("/metrics").header("accept", accept))
}

/// Scrapes until it has what is wanted: an answer is counted as a whole only when it is through.
fn scrape_until(serving: &Serving, wanted: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = scrape(serving).text();
        if page.contains(wanted) {
            return page;
        }
        assert!(Instant::now() < deadline, "no {wanted:?} in\n{page}");
        std::thread::yield_now();
    }
}

/// A route in every part that has something to measure.
pub(crate) fn everything(v1: &Origin, v2: &Origin) -> Value {
    let node = |origin: &Origin| json!({origin.authority(): 1});
    let checks = json!({"active": {"healthy": {"interval": 60}, "unhealthy": {"interval": 60}}});
    let branches = json!([
        {"name": "v1", "weight": 3, "upstream_id": "checked"},
        {"name": "v2", "weight": 1, "upstream": {"nodes": node(v2)}},
    ]);
    let rule = json!({
        "weighted_upstreams": branches,
        "breaker": {"failures": 1000},
        "on_failure": {"when": [503]},
    });
    let breaker = json!({"break_response_code": 503});
    let limit = json!({"count": 2, "time_window": 60, "rejected_code": 429});
    json!({
        "upstreams": [{
            "id": "checked", "nodes": node(v1), "checks": checks, "retries": 1,
            "breaker": {"failures": 1000},
        }],
        "services": [{"id": "s", "upstream": {"nodes": node(v1)}}],
        "routes": [
            {
                "id": "chat", "uri": "/chat", "service_id": "s",
                "plugins": {"traffic-split": {"rules": [rule]}, "api-breaker": breaker},
            },
            {
                "id": "limited", "uri": "/limited", "upstream_id": "checked",
                "plugins": {"key-auth": {}, "limit-count": limit},
            },
        ],
        "consumers": [{"username": "jane", "plugins": {"key-auth": {"key": "the key of jane"}}}],
    })
}

#[test]
fn the_families_of_apisix_have_its_names_and_labels_and_a_branch_beside() {
    let (v1, v2, files) =
        (origin("one"), Origin::on_loopback(Reply::status(503).body("").into()), Files::new());
    let serving = measured(&files, &everything(&v1, &v2));
    for _ in 0..8 {
        let call = Call::post("/chat", "12345");
        assert_eq!(wire::call(serving.traffic, &call).text(), "one");
    }
    assert_eq!(serving.get("/nowhere").status, 404);
    let key = Call::get("/limited").header("apikey", "the key of jane");
    let of_jane = [200, 200, 429].map(|_| wire::call(serving.traffic, &key).status);
    assert_eq!((of_jane, serving.get("/limited").status), ([200, 200, 429], 401));
    let whole = r#"apisix_http_latency_count{type="request",route="chat",service="s",consumer="",node="127.0.0.1",branch="v1"} 8"#;
    let page = scrape_until(&serving, whole);
    for line in [
        r#"apisix_http_status{code="200",route="chat",matched_uri="/chat",matched_host="",service="s",consumer="",node="127.0.0.1",branch="v1"} 8"#,
        r#"apisix_http_status{code="404",route="",matched_uri="",matched_host="",service="",consumer="",node="",branch=""} 1"#,
        r#"apisix_bandwidth{type="ingress",route="chat",service="s",consumer="",node="127.0.0.1",branch="v1"} 40"#,
        r#"apisix_bandwidth{type="egress",route="chat",service="s",consumer="",node="127.0.0.1",branch="v1"} 24"#,
        r#"apisix_http_latency_bucket{le="60000.0",type="upstream",route="chat",service="s",consumer="",node="127.0.0.1",branch="v1"} 8"#,
        r#"apisix_http_latency_bucket{le="+Inf",type="apisix",route="chat",service="s",consumer="",node="127.0.0.1",branch="v1"} 8"#,
        "# TYPE apisix_http_status unknown",
        "# TYPE apisix_http_latency histogram",
        r#"apisix_http_status{code="200",route="limited",matched_uri="/limited",matched_host="",service="",consumer="jane",node="127.0.0.1",branch="route"} 2"#,
        r#"splitway_guard_decisions_total{route="limited",plugin="limit-count",outcome="passed"} 2"#,
        r#"splitway_guard_decisions_total{route="limited",plugin="limit-count",outcome="refused"} 1"#,
        r#"splitway_guard_decisions_total{route="limited",plugin="key-auth",outcome="refused"} 1"#,
        r#"splitway_problems_total{problem="http_request_denied"} 2"#,
        "apisix_http_requests_total 13",
        r#"apisix_nginx_http_current_connections{state="accepted"} 13"#,
        r#"splitway_requests_total{route="chat",rule="0",branch="v1",code="200"} 8"#,
        r#"splitway_picks_total{route="chat",rule="0",branch="v1",reason="turn"} 6"#,
        r#"splitway_picks_total{route="chat",rule="0",branch="v1",reason="failover"} 2"#,
        r#"splitway_failovers_total{route="chat",rule="0",branch="v2"} 2"#,
        r#"splitway_share_configured{route="chat",rule="0",branch="v1"} 0.75"#,
        r#"splitway_share_observed{route="chat",rule="0",branch="v2"} 0.25"#,
        r#"splitway_branch_breaker{route="chat",rule="0",branch="v2",state="closed"} 1"#,
        r#"splitway_problems_total{problem="destination_not_found"} 1"#,
        "splitway_series_overflow_total 0",
        "splitway_configuration_failures_total 0",
    ] {
        assert!(page.lines().any(|own| own == line), "no {line}\nin\n{page}");
    }
    let port = v1.port();
    for line in [
        format!(r#"apisix_upstream_status{{name="checked",ip="127.0.0.1",port="{port}"}} 1"#),
        format!(
            r#"splitway_node_breaker{{upstream="checked",node="127.0.0.1:{port}",state="open"}} 0"#
        ),
    ] {
        assert!(page.lines().any(|own| own == line), "no {line}\nin\n{page}");
    }
    assert!(page.ends_with("# EOF\n"), "{page}");
}

#[test]
fn a_client_gets_the_format_that_it_asks_for() {
    let (v1, files) = (origin("one"), Files::new());
    let serving = measured(&files, &everything(&v1, &v1));
    serving.get("/chat");
    let open = scrape(&serving);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type").as_deref(), Some(kind));
    let plain = ask(&serving, &Call::get("/apisix/prometheus/metrics"));
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!((plain.status, plain.header("content-type").as_deref()), (200, Some(kind)));
    let text = plain.text();
    for line in [
        "# TYPE apisix_http_status counter",
        "# TYPE apisix_http_requests_total counter",
        "# TYPE apisix_node_info gauge",
        "apisix_http_requests_total 1",
    ] {
        assert!(text.lines().any(|own| own == line), "no {line}\nin\n{text}");
    }
    assert!(!text.contains("# EOF") && !text.contains("unknown"), "{text}");
    for (call, status) in [
        (Call::get("/"), 404),
        (Call::get("/chat"), 404),
        (Call::post("/metrics", ""), 405),
        (Call::new("HEAD", "/metrics"), 200),
        (Call::get("/metrics?collect=all"), 200),
    ] {
        assert_eq!(ask(&serving, &call).status, status, "{call:?}");
    }
}

#[test]
fn counting_goes_on_when_the_configuration_changes_and_a_bad_one_is_counted() {
    let (v1, files) = (origin("one"), Files::new());
    let document = everything(&v1, &v1);
    let mut serving = measured(&files, &document);
    serving.get("/chat");
    files.write("config.json", "{");
    serving.line(|line| line.contains("configuration_fault"));
    let mut changed = document.clone();
    changed["routes"][0]["plugins"]["traffic-split"]["rules"][0]["weighted_upstreams"][1]["weight"] =
        json!(3);
    files.write("config.json", &changed.to_string());
    serving.line(|line| line.contains("configuration_loaded"));
    serving.get("/chat");
    let page = scrape_until(&serving, "splitway_configuration_failures_total 1\n");
    for line in [
        r#"splitway_share_configured{route="chat",rule="0",branch="v2"} 0.5"#,
        "apisix_http_requests_total 2",
    ] {
        assert!(page.lines().any(|own| own == line), "no {line}\nin\n{page}");
    }
    let revisions = page.lines().filter(|line| line.contains("revision=")).count();
    assert_eq!(revisions, 1, "{page}");
}

#[test]
fn a_breaker_that_opens_and_closes_is_told_of_in_the_log() {
    let (bad, good, files) =
        (Origin::on_loopback(Reply::status(500).body("").into()), origin("two"), Files::new());
    let mut document = everything(&good, &bad);
    let rule = &mut document["routes"][0]["plugins"]["traffic-split"]["rules"][0];
    rule["breaker"] = json!({"failures": 2, "open": 1});
    let mut serving = measured(&files, &document);
    while serving.get("/chat").status != 500 {}
    while serving.get("/chat").status != 500 {}
    let line = serving.line(|line| line.contains(r#""event":"breaker""#));
    let told: Value = serde_json::from_str(&line).expect("JSON");
    let expected = json!({
        "level": "warn", "event": "breaker", "route": "chat", "rule": 0, "branch": "v2",
        "from": "closed", "to": "open", "at_ms": told["at_ms"],
    });
    assert_eq!(told, expected);
    let line = serving.line(|line| line.contains(r#""to":"half_open""#));
    assert!(line.contains(r#""from":"open""#), "{line}");
}

#[test]
fn a_server_whose_usual_address_for_metrics_is_taken_does_without() {
    let taken = std::net::TcpListener::bind("127.0.0.1:9091");
    let (v1, files) = (origin("one"), Files::new());
    let path = files.write("config.json", &everything(&v1, &v1).to_string());
    let mut command = splitway();
    command.env_remove("SPLITWAY_METRICS_LISTEN");
    let mut serving = Serving::start(command, &["--config", &path]);
    let line = serving.line(|line| line.trim_start().starts_with("metrics"));
    assert_eq!(line.trim(), "metrics        off, because 127.0.0.1:9091 is taken");
    assert_eq!(serving.get("/chat").text(), "one");
    // Whoever asks for an address gets that one or is told.
    let address = taken.as_ref().map_or("127.0.0.1:9091".to_owned(), |it| {
        it.local_addr().expect("it is bound").to_string()
    });
    let refused = run(
        &["serve", "--config", &path, "--listen", "127.0.0.1:0", "--metrics-listen", &address],
        "",
    );
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("--metrics-listen") && !refused.status.success(), "{told}");
}

#[test]
fn the_admin_api_tells_how_branches_fare() {
    let v1 = origin("one");
    let dir = Files::new();
    let serving = serving(&dir.path("data"));
    let ask = |call: Call| serving.ask_admin(&call.header("x-api-key", KEY));
    assert_eq!(ask(Call::get("/splitway/v1/status")).status, 200);
    let node = json!({v1.authority(): 1});
    let route = json!({"uri": "/r", "name": "<b>r</b>", "upstream": {"nodes": node}});
    let written = ask(Call::new("PUT", "/apisix/admin/routes/r").body(route.to_string()));
    assert_eq!(written.status, 201, "{}", written.text());
    for _ in 0..3 {
        assert_eq!(serving.get("/r").text(), "one");
    }
    let told = ask(Call::get("/splitway/v1/status")).json();
    assert_eq!((&told["scope"], &told["revision"]), (&json!("process"), &json!("1")));
    let branch = &told["routes"][0]["rules"][0]["branches"][0];
    let expected = json!({
        "name": "route", "weight": 1, "target": 1.0, "picked": 3, "share": 1.0,
        "interval": branch["interval"], "requests": 3, "errors": 0, "statuses": {"200": 3},
        "reasons": {"whole": 3}, "retries": 0, "p50_ms": branch["p50_ms"],
        "p99_ms": branch["p99_ms"], "buckets": branch["buckets"], "breaker": "none",
    });
    assert_eq!(branch, &expected);
    assert!(branch["p99_ms"].is_number() && branch["interval"][1] == 1.0, "{branch}");
    assert_eq!(ask(Call::post("/splitway/v1/status", "{}")).status, 405);
    let keyless = serving.ask_admin(&Call::get("/splitway/v1/status"));
    assert_eq!(keyless.status, 401);
}

/// The names of metrics in a scrape, each with the labels that its lines have.
fn families(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
        let labels = families.entry(name.to_owned()).or_default();
        let list = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let list = list.map_or("", |(list, _)| list);
        labels
            .extend(list.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned())));
    }
    families
}

/// The names and labels that a query asks for: words of our prefixes, and what stands before `=` and in the
/// brackets of `by`.
fn asked(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = query.split(|c: char| !is_word(c));
    let names = words.filter(|word| word.starts_with("splitway_") || word.starts_with("apisix_"));
    let names = names.map(str::to_owned).collect();
    let mut labels = BTreeSet::new();
    for part in query.split('{').skip(1) {
        let list = part.split_once('}').expect("closed").0;
        let label = |matcher: &str| {
            let end = matcher.find(['=', '!']).expect("a matcher");
            matcher[..end].trim().to_owned()
        };
        labels.extend(list.split("\", ").map(label));
    }
    for part in query.split("by (").skip(1) {
        let list = part.split_once(')').expect("closed").0;
        labels.extend(list.split(',').map(|label| label.trim().to_owned()));
    }
    (names, labels)
}

/// The queries of the dashboard.
pub(crate) fn queries() -> Vec<String> {
    let text = include_str!("../../dashboard.json");
    let dashboard: Value = serde_json::from_str(text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect()
}

#[test]
fn everything_that_the_dashboard_asks_for_is_there() {
    let (v1, files) = (origin("one"), Files::new());
    let serving = measured(&files, &everything(&v1, &v1));
    for path in ["/chat", "/chat", "/chat", "/chat", "/limited", "/nowhere"] {
        serving.get(path);
    }
    let families = families(&scrape(&serving).text());
    let queries = queries();
    assert!(queries.len() >= 20, "{queries:?}");
    for query in queries {
        let (names, labels) = asked(&query);
        assert!(!names.is_empty(), "{query}");
        let mut known = BTreeSet::new();
        for name in &names {
            let labels = families.get(name);
            known.extend(labels.unwrap_or_else(|| panic!("no {name} of {query}")).clone());
        }
        assert!(labels.is_subset(&known), "{labels:?} of {query}\nare not all in {known:?}");
    }
}
