//! A document means the same however it is read, and plugins the same wherever they stand.

use serde_json::{Value, json};

use crate::fault::{Fault, Report};
use crate::json;
use crate::snapshot::compilation::{compile_faultless, compile_whole};
use crate::snapshot::{Snapshot, compile_json};
use crate::split::Full;
use crate::time::Timestamp;

/// What both ways make of a text.
fn both(text: &str) -> [(Option<Snapshot>, Report); 2] {
    [compile_faultless, compile_whole].map(|way| {
        let mut report = Report::default();
        (way(text, 7, &mut report), report)
    })
}

/// Plugins of many kinds; some depend on the route that has them.
fn plugins() -> Vec<Value> {
    let upstream = json!({"type": "roundrobin", "nodes": {"a.test:1": 3, "b.test:2": 1}});
    let branch = |more: Value| {
        let mut branch = json!({"weight": 3, "upstream": upstream});
        more.as_object().into_iter().flatten().for_each(|(key, it)| branch[key] = it.clone());
        branch
    };
    let lists = |list: Value| json!({"rules": [{"weighted_upstreams": list}]});
    let matched = json!([{"vars": [["arg_a", "~~", "^b"], ["remote_addr", "ipmatch", ["::1"]]]}]);
    let splits = [
        json!({}),
        json!({"rules": []}),
        json!({"rules": [branch(json!({})), branch(json!({"weight": 97}))]}),
        json!({"rules": [branch(json!({"rewrite": {"uri": "/$arg_a"}})), branch(json!({}))]}),
        json!({"rules": [{"match": matched, "weighted_upstreams": [branch(json!({})), {}]}]}),
        json!({"rules": [{"match": matched, "weighted_upstreams": [branch(json!({}))]}]}),
        json!({"rules": [branch(json!({"sticky": {"by": ["header:x"]}})), branch(json!({}))]}),
        json!({"rules": [branch(json!({"breaker": {"failures": 5}})), branch(json!({}))]}),
        json!({"rules": [branch(json!({"on_failure": {"to": "b1"}})), branch(json!({}))]}),
        json!({"_meta": {"filter": [["arg_a", "==", "b"]]}, "rules": [branch(json!({}))]}),
        lists(json!([{"weight": 1}, {"upstream_id": "u", "weight": 2}])),
        lists(json!([{"upstream_id": "u"}, {"upstream_id": "w"}])),
        lists(json!([{"upstream": "http://c.test"}, {"upstream_id": "w", "name": "x"}])),
        lists(json!([{"upstream": "http://c.test", "limit": {"rate": 5, "burst": 1}}])),
    ];
    let of_split = |split: &Value| json!({"traffic-split": split});
    let breaker = json!({"break_response_code": 503});
    let others = [
        json!({}),
        json!({"proxy-rewrite": {"uri": "/x"}, "api-breaker": breaker}),
        json!({"traffic-split": splits[2], "proxy-rewrite": {"uri": "/y"}, "cors": {}}),
        json!({"limit-count": {"count": 2, "time_window": 60, "group": "g"}}),
    ];
    splits.iter().map(of_split).chain(others).collect()
}

/// A document of routes that each have the plugins of one of `numbers`.
fn document(numbers: impl Iterator<Item = usize>) -> Value {
    let plugins = plugins();
    let route = |(index, number): (usize, usize)| {
        let mut route = json!({
            "id": format!("r{index}"),
            "uri": format!("/{index}/*"),
            "plugins": plugins[number % plugins.len()],
        });
        match index % 5 {
            0 => route["upstream_id"] = json!("u"),
            1 => route["upstream"] = json!("http://own.test"),
            2 => route["upstream"] = json!({"nodes": {"own.test": 1}, "retries": index / 10}),
            3 => route["service_id"] = json!("s"),
            _ => route["upstream"] = json!({"nodes": {"own.test": 1}}),
        }
        route
    };
    let rules = json!({"rules": [{"upstream": "http://s.test", "rewrite": {"uri": "/z"}}]});
    json!({
        "routes": numbers.enumerate().map(route).collect::<Vec<Value>>(),
        "upstreams": [
            {"id": "u", "nodes": {"u.test": 1}},
            {"id": "w", "nodes": {"w.test": 1, "x.test": 1}, "type": "chash", "key": "uri"},
        ],
        "services": [{"id": "s", "upstream_id": "w", "plugins": {"traffic-split": rules}}],
        "global_rules": [{"id": "g", "plugins": {"proxy-rewrite": {"headers": {"x": "y"}}}}],
    })
}

/// As many routes as there are plugins twice over, those of one number behind each other or not.
fn documents() -> [Value; 3] {
    let count = plugins().len();
    [
        document((0..count * 10).map(|index| index / 10)),
        document((0..count * 10).map(|index| index % count)),
        document((0..count * 10).map(|index| index % 3 + index / 30)),
    ]
}

/// What there is of routes but their lanes, which others before them move.
fn told(snapshot: &Snapshot) -> Vec<String> {
    let told = |route: &crate::snapshot::Route| {
        let names = (route.name(), route.service());
        let deeds = (&route.guards, &route.rewrites, &route.breakers, &route.split);
        format!("{:?} {names:?} {deeds:?} {:?} {}", route.id, route.timeout, route.upgrades)
    };
    snapshot.routes.iter().map(told).collect()
}

#[test]
fn a_document_is_the_same_as_text_and_as_values() {
    for document in documents() {
        let [(text, of_text), (whole, of_whole)] = both(&document.to_string());
        assert_eq!((&of_text, of_text.faults.len()), (&of_whole, 0));
        let (text, whole) = (text.expect("it has no faults"), whole.expect("it has no faults"));
        assert_eq!(format!("{text:?}"), format!("{whole:?}"));
    }
}

#[test]
fn a_route_is_the_same_alone_as_among_others_that_say_the_same() {
    for document in documents() {
        let [(among, report), _] = both(&document.to_string());
        let (mut alone, mut warnings) = (Vec::new(), Vec::new());
        for (index, route) in document["routes"].as_array().into_iter().flatten().enumerate() {
            let mut of_one = document.clone();
            of_one["routes"] = json!([route]);
            let [(snapshot, report), _] = both(&of_one.to_string());
            alone.append(&mut told(&snapshot.expect("it has no faults")));
            let within = report.warnings.into_iter().filter(|it| it.at.starts_with("/routes/0"));
            warnings.extend(within.map(|it| Fault {
                at: it.at.replacen("/routes/0", &format!("/routes/{index}"), 1),
                ..it
            }));
        }
        let among = told(&among.expect("it has no faults"));
        for (route, (among, alone)) in among.iter().zip(&alone).enumerate() {
            assert_eq!(among, alone, "{}", document["routes"][route]);
        }
        assert_eq!(among.len(), alone.len());
        let found = report.warnings.into_iter().filter(|it| it.at.starts_with("/routes/"));
        assert_eq!(found.collect::<Vec<Fault>>(), warnings);
    }
}

#[test]
fn what_is_not_sound_is_told_as_where_all_is_held() {
    let route = r#"{"id": "a", "uri": "/", "upstream": "http://a.test"}"#;
    for text in [
        "",
        "[]",
        "{",
        r#"{"routes": 1}"#,
        r#"{"routes": [1]}"#,
        r#"{"routes": [], "routes": []}"#,
        r#"{"upstreams": [], "upstreams": []}"#,
        r#"{"routes": [], "ruotes": []}"#,
        r#"{"routes": [{"uri": "/", "uri": "/"}]}"#,
        r#"{"routes": [{"uri": "/", "plugins": {"cors": {}, "cors": {}}}]}"#,
        "{\"routes\": [{\"uri\": \"/\", \n\"priority\": 1e999}]}",
        r#"{"routes": [{"uri": "/", "name": "\ud800"}]}"#,
        r#"{"routes": [{"uri": "/"}]}"#,
        &format!(r#"{{"routes": [{route}, {route}]}}"#),
        &format!(r#"{{"routes": [{route}]}} 1"#),
        &format!(r#"{{"routes": [{route},]}}"#),
    ] {
        let [(snapshot, report), (whole, of_whole)] = both(text);
        assert!(snapshot.is_none() && whole.is_none(), "{text}");
        assert_eq!(report, Report::default(), "{text}");
        let mut told = Report::default();
        assert!(compile_json(text, 7, &mut told).is_none());
        assert_eq!(told, of_whole, "{text}");
        assert!(!told.faults.is_empty(), "{text}");
    }
}

#[test]
fn a_route_is_as_deep_as_the_parser_goes() {
    let mut taken = 0;
    for levels in 100..140 {
        let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let node = format!(r#"{{"host": "a.test", "weight": 1, "metadata": {{"a": {deep}}}}}"#);
        let text = format!(r#"{{"routes": [{{"uri": "/", "upstream": {{"nodes": [{node}]}}}}]}}"#);
        let is_parsed = json::parse(text.as_bytes()).is_ok();
        assert!(both(&text).iter().all(|(it, _)| it.is_some() == is_parsed), "{levels}");
        taken += usize::from(is_parsed);
    }
    assert!((1..40).contains(&taken));
}

#[test]
fn routes_that_say_the_same_walk_by_themselves() {
    let rule = |name: &str| json!({"name": name, "upstream": "http://a.test"});
    let split = json!({"traffic-split": {"rules": [rule("v1"), rule("v2")]}});
    let route = |index: usize| json!({"uri": format!("/{index}"), "plugins": split});
    let text = json!({"routes": [route(0), route(1), route(2)]}).to_string();
    for (snapshot, _) in both(&text) {
        let snapshot = snapshot.expect("it has no faults");
        let mut rules = snapshot.routes.iter().flat_map(|route| route.split.rules());
        let (first, second) = (rules.next().unwrap(), rules.next().unwrap());
        let start = second.branches.point();
        first.branches.next(&Full::default(), Timestamp::default());
        assert_ne!(first.branches.point(), start);
        assert_eq!(second.branches.point(), start);
    }
}
