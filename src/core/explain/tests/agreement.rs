//! What is explained is what then happens, whatever the document and the request.

use std::borrow::Cow;

use super::*;
use crate::head::ResponseHead;

/// Chance with a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn is_so(&mut self) -> bool {
        self.below(2) == 0
    }
}

fn vars(dice: &mut Dice) -> Value {
    dice.one(&[
        json!([["arg_a", "==", "1"]]),
        json!([["http_x", "~~", "^y"], ["arg_a", "~=", "2"]]),
        json!(["OR", ["arg_a", "in", ["1", "3"]], ["request_method", "==", "PUT"]]),
        json!([["post_arg.model", "==", "m1"]]),
        json!([["cookie_c", "has", "x"]]),
    ])
}

fn rewrite(dice: &mut Dice) -> Value {
    dice.one(&[
        json!({"uri": "/v1"}),
        json!({"uri": "/v2/$arg_a?q=$http_x"}),
        json!({"regex_uri": ["^/(.*)", "/r/$1"], "method": "PUT"}),
        json!({"body": {"model": "m2"}}),
        json!({"query": {"set": {"a": "9"}, "remove": ["b"]}, "host": "h.test"}),
        json!({}),
    ])
}

fn rule(dice: &mut Dice) -> Value {
    let mut branches = Vec::new();
    for number in 0..=dice.below(3) {
        let mut branch = json!({"name": format!("v{number}"), "weight": dice.below(4)});
        if number == 0 {
            branch["weight"] = 2.into();
        }
        branch["rewrite"] = rewrite(dice);
        if dice.is_so() {
            branch["headers"] = json!({"set": {"x-b": "$arg_a"}, "remove": ["x-c"]});
            branch["response_headers"] = json!({"add": {"x-r": "1"}});
        }
        branch["upstream"] = dice.one(&["http://a.test", "https://b.test:8443"]).into();
        branches.push(branch);
    }
    let mut rule = json!({"weighted_upstreams": branches});
    if dice.is_so() {
        rule["match"] = json!([{"vars": vars(dice)}]);
    }
    match dice.below(5) {
        0 => rule["sticky"] = json!({"by": ["header:x", "body:/user", "arg:a"]}),
        1 | 2 => rule["sticky"] = json!({"by": ["arg:a"], "cookie": {"name": "c"}}),
        _ => {}
    }
    if dice.is_so() {
        rule["override"] = json!({"tokens": true, "addresses": ["10.0.0.0/8"]});
    }
    rule
}

fn document(dice: &mut Dice) -> Value {
    let mut list = Vec::new();
    for number in 0..=dice.below(6) {
        let uri = dice.one(&["/chat", "/chat/*", "/*", "/:name/x", "/c*"]);
        let mut route = json!({"id": format!("r{number}"), "uri": uri, "plugins": {}});
        route["priority"] = dice.below(3).into();
        if dice.below(4) == 0 {
            route["host"] = dice.one(&["gw.test", "*.test", "other.example"]).into();
        }
        if dice.below(5) == 0 {
            route["vars"] = vars(dice);
        }
        if dice.below(4) == 0 {
            route["methods"] = json!(["POST"]);
        }
        if dice.below(4) == 0 {
            route["remote_addrs"] = json!(["10.0.0.0/8"]);
        }
        if dice.below(4) == 0 {
            route["plugins"]["proxy-rewrite"] = json!({"headers": {"set": {"x": "yes"}}});
        }
        let is_split = dice.below(4) > 0;
        if is_split {
            let rules: Vec<Value> = (0..=dice.below(2)).map(|_| rule(dice)).collect();
            route["plugins"]["traffic-split"] = json!({"rules": rules});
        }
        if !is_split || dice.is_so() {
            route["upstream"] =
                json!({"nodes": {"c.test:80": 2, "d.test:81": 1}, "pass_host": "node"});
        }
        list.push(route);
    }
    let router = dice.one(&["radixtree_host_uri", "radixtree_uri", "radixtree_uri_with_parameter"]);
    let settings = json!({"router": router, "body_max": dice.one(&[12, 65_536])});
    json!({"routes": list, "settings": settings})
}

fn asked(dice: &mut Dice) -> Value {
    let host = dice.one(&["gw.test", "x.test", "nobody.example"]);
    let path = dice.one(&["/chat", "/chat/x", "/a/x", "/chat", "/"]);
    let query = dice.one(&["", "?a=1", "?a=2&b=3", "?a"]);
    let tokens = [token(&secret(), "v1", None, LATER), token(&secret(), "v1", Some("r0"), NOW)];
    let mut headers = json!({});
    for (name, values) in [
        ("x", ["y1", "n"].map(str::to_owned)),
        ("connection", ["x-hop", "close"].map(str::to_owned)),
        ("cookie", ["c=x", "c=1.2"].map(str::to_owned)),
        ("x-splitway-branch", tokens),
        ("x-splitway-branch", ["v1", "v9"].map(str::to_owned)),
    ] {
        if dice.below(3) == 0 {
            headers[name] = dice.one(&values).into();
        }
    }
    let mut asked = json!({"url": format!("https://{host}{path}{query}"), "headers": headers});
    asked["client"] = dice.one(&["10.0.0.1", "192.0.2.1"]).into();
    if dice.is_so() {
        asked["method"] = dice.one(&["GET", "POST", "PUT"]).into();
    }
    match dice.below(4) {
        0 => asked["body"] = json!({"model": dice.one(&["m1", "m3"]), "user": "u"}),
        1 => asked["body"] = "text".into(),
        _ => {}
    }
    asked
}

/// A response without headers.
struct Fine;

impl ResponseHead for Fine {
    fn status(&self) -> u16 {
        200
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// What happens to a request on the road, put as an explanation would.
fn road(snapshot: &Snapshot, head: &dyn Head, means: Means<'_>, body: &[u8]) -> Explanation {
    let mut happened = Explanation::of(snapshot);
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let is_long = body.len() > snapshot.body_max();
    let mut known = Body::Unread;
    let mut decided = Exchange::decide(&mut Visit::default(), inquiry, means, known);
    if let Err(Needs::Body) = decided {
        (happened.reads_body, known) = (true, Body::Whole(body));
        decided = match is_long {
            true => Ok(Exchange::failed(Some(snapshot), Problem::BodyTooLarge)),
            false => Exchange::decide(&mut Visit::default(), inquiry, means, known),
        };
    }
    let Ok(mut exchange) = decided else { panic!("a body that is known") };
    happened.route = exchange.route().map(str::to_owned);
    let branch = exchange.branch().map(str::to_owned);
    if exchange.changes_body() {
        (happened.reads_body, known) = (true, Body::Whole(body));
    }
    let attempt = match exchange.changes_body() && is_long {
        true => Err(Problem::BodyTooLarge),
        false => exchange.attempt(head, known, means),
    };
    match attempt {
        Ok(attempt) => {
            happened.request = Some(Request::of(&attempt, head));
            let edits = exchange.relay(&Fine).edits;
            happened.response_headers = Some(Headers::of(&edits));
        }
        Err(problem) => happened.problem = Some(Refused::of(problem)),
    }
    happened.pick = branch.map(|branch| Pick {
        branch,
        by: By::Whole,
        found_in: None,
        key: None,
        point: None,
        denied: None,
        branches: Vec::new(),
        upstream_type: None,
        retries: 0,
        on_failure: None,
    });
    happened
}

/// Every route is the one that takes the request, or is told of once.
fn check_routes(told: &Explanation, count: usize) {
    let others = told.passed_over.iter().chain(&told.not_asked).map(|it| it.route.clone());
    let mut ids: Vec<String> = others.chain(told.route.clone()).collect();
    assert_eq!(ids.len() + told.not_asked_more, count, "{told:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len() + told.not_asked_more, count, "{told:?}");
    let is_behind = |it: &PassedRoute| it.why.starts_with("it comes behind");
    assert!(told.route.is_some() || !told.not_asked.iter().any(is_behind), "{told:?}");
    assert!(told.passed_over.iter().all(|it| !it.why.ends_with(": ")), "{told:?}");
}

#[test]
fn what_is_explained_is_what_then_happens() {
    let secret = secret();
    let (mut requests, mut by) = (0, std::collections::BTreeMap::new());
    for seed in 0..600 {
        let mut dice = Dice(seed);
        let text = document(&mut dice).to_string();
        // A document that cannot be explained is judged elsewhere.
        let mut report = Report::default();
        let Some(served) = compile_json(&text, 0, &mut report) else {
            panic!("seed {seed}: {:?}", report.faults)
        };
        let alone = compile_json(&text, 0, &mut report).expect("it compiled before");
        for number in 0..12 {
            let value = asked(&mut dice);
            let asked = question(&value);
            let (head, body) = asked.parts();
            let draw = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
            let secret = dice.is_so().then_some(&secret);
            let chance = || draw;
            let means = Means { now: NOW, secret, chance: &chance, is_trial: false };
            let told = explain(&served, head, means, body);
            assert_eq!(explain(&served, head, means, body), told, "seed {seed}: {value}");
            let happened = road(&served, head, means, body);
            // Nobody asked anything here, so nothing can have moved.
            let expected = road(&alone, head, means, body);
            assert_eq!(happened, expected, "seed {seed}: {value}\n{text}");
            let branch = |it: &Explanation| it.pick.as_ref().map(|pick| pick.branch.clone());
            assert_eq!(branch(&told), branch(&happened), "seed {seed}: {value}\n{text}");
            let seen = (&told.request, &told.response_headers, &told.problem, told.reads_body);
            let road = (
                &happened.request,
                &happened.response_headers,
                &happened.problem,
                happened.reads_body,
            );
            assert_eq!(seen, road, "seed {seed}: {value}\n{text}");
            // The road forgets the route where nothing of it serves.
            if happened.route.is_some() {
                assert_eq!(told.route, happened.route, "seed {seed}: {value}\n{text}");
            }
            if happened.route.is_some() || told.problem.as_ref().is_some_and(|it| it.status == 404)
            {
                check_routes(&told, served.routes_count());
            }
            let reason = told.pick.as_ref().map(|pick| format!("{:?}", pick.by));
            *by.entry(reason).or_insert(0) += 1;
            requests += 1;
        }
    }
    assert_eq!(requests, 7200);
    assert!(by.len() == 6 && by.values().all(|count| *count > 100), "{by:?}");
}
