use super::*;
use crate::wire;
use serde_json::{Value, json};

fn compile(value: &Value) -> (Option<Checks>, Report) {
    let mut report = Report::default();
    let checks = wire::read(value, At::Root, &mut report, |wire: ChecksWire, report| {
        Some(wire.compile(At::Root, report))
    });
    (checks, report)
}

fn texts(faults: &[crate::fault::Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

fn set(statuses: impl IntoIterator<Item = u16>) -> Statuses {
    statuses.into_iter().collect()
}

#[test]
fn what_is_absent_has_the_defaults_of_apisix() {
    let value = json!({
        "active": {"healthy": {}, "unhealthy": {}}, "passive": {"healthy": {}, "unhealthy": {}},
    });
    let (checks, report) = compile(&value);
    let second = Some(Duration::from_secs(1));
    let active = Active {
        protocol: Protocol::Http,
        timeout: Duration::from_secs(1),
        concurrency: 10,
        host: None,
        port: None,
        method: Method::Get,
        path: "/".to_owned(),
        headers: Vec::new(),
        body: String::new(),
        verify: true,
        interval_up: second,
        interval_down: second,
        limits: Limits {
            healthy: set([200, 302]),
            successes: 2,
            unhealthy: set([429, 404, 500, 501, 502, 503, 504, 505]),
            http_failures: 5,
            tcp_failures: 2,
            timeouts: 3,
        },
    };
    let passive = Passive {
        limits: Limits {
            healthy: set((200..=208).chain([226]).chain(300..=308)),
            successes: 5,
            unhealthy: set([429, 500, 503]),
            http_failures: 5,
            tcp_failures: 2,
            timeouts: 7,
        },
    };
    assert_eq!(report.faults, []);
    assert_eq!(checks, Some(Checks { active: active.clone(), passive: Some(passive.clone()) }));

    // Without the objects nothing is probed and no status of a request counts.
    let (checks, report) = compile(&json!({"active": {}, "passive": {}}));
    let active = Active { interval_up: None, interval_down: None, ..active };
    let none = Limits { healthy: set([]), unhealthy: set([]), ..passive.limits };
    assert_eq!(checks, Some(Checks { active, passive: Some(Passive { limits: none }) }));
    assert_eq!(
        texts(&report.warnings),
        ["/active: without `healthy` or `unhealthy` no node is probed, as in APISIX"],
    );
}

#[test]
fn what_is_said_is_taken() {
    let (checks, report) = compile(&json!({
        "active": {
            "type": "https", "timeout": 0.5, "concurrency": 2, "host": "Foo.com", "port": 8443,
            "http_path": "/status?deep=1", "https_verify_certificate": false,
            "req_headers": ["User-Agent: curl/7.29.0", "X-Empty:"],
            "http_method": "POST", "http_req_body": "{}",
            "healthy": {"interval": 60, "http_statuses": [204], "successes": 1},
            "unhealthy": {
                "interval": 90, "http_statuses": [500, 599],
                "http_failures": 254, "tcp_failures": 4, "timeouts": 5,
            },
        },
    }));
    let text = |text: &str| text.to_owned();
    let active = Active {
        protocol: Protocol::Https,
        timeout: Duration::from_millis(500),
        concurrency: 2,
        host: Some(text("foo.com")),
        port: Some(8443),
        method: Method::Post,
        path: text("/status?deep=1"),
        headers: vec![(text("user-agent"), text("curl/7.29.0")), (text("x-empty"), String::new())],
        body: text("{}"),
        verify: false,
        interval_up: Some(Duration::from_secs(60)),
        interval_down: Some(Duration::from_secs(90)),
        limits: Limits {
            healthy: set([204]),
            successes: 1,
            unhealthy: set([500, 599]),
            http_failures: 254,
            tcp_failures: 4,
            timeouts: 5,
        },
    };
    assert_eq!(checks, Some(Checks { active, passive: None }));
    assert_eq!(report.faults, []);
    assert_eq!(
        texts(&report.warnings),
        [
            "/active/host: at the edge a probe asks for the node's own name",
            "/active/https_verify_certificate: at the edge the certificates of nodes are always verified"
        ],
    );
}

#[test]
fn what_the_edge_cannot_do_is_a_warning() {
    for (active, warned) in [
        (json!({"healthy": {"interval": 60}}), false),
        (json!({"healthy": {"interval": 59}}), true),
        (json!({"healthy": {"interval": 60}, "unhealthy": {}}), true),
    ] {
        let (_, report) = compile(&json!({"active": active}));
        let warnings: &[&str] = match warned {
            true => &["/active: at the edge nodes are probed once a minute at best"],
            false => &[],
        };
        assert_eq!(texts(&report.warnings), warnings, "{active}");
    }
    let (_, report) = compile(&json!({"active": {"type": "tcp", "healthy": {"interval": 60}}}));
    assert_eq!(texts(&report.warnings), ["/active/type: at the edge no node is probed by `tcp`"],);
    let (_, report) =
        compile(&json!({"active": {"healthy": {"interval": 60}}, "passive": {"type": "tcp"}}));
    assert_eq!(
        texts(&report.warnings),
        ["/passive/type: requests are HTTP: as in APISIX this changes nothing"],
    );
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let active = |member: Value| json!({"active": member});
    for (value, expected) in [
        (json!({}), "(document): `active` is missing"),
        (json!({"passive": {}}), "(document): `active` is missing"),
        (active(json!({"tpye": "http"})), "/active/tpye: unknown key; did you mean `type`?"),
        (
            active(json!({"type": "htps"})),
            r#"/active/type: unknown value `htps`, expected one of ["http", "https", "tcp"]; did you mean `https`?"#,
        ),
        (
            active(json!({"timeout": 0})),
            "/active/timeout: expected seconds, more than 0 and at most 86400",
        ),
        (
            active(json!({"concurrency": 0})),
            "/active/concurrency: expected nodes from 1 to 1000, found `0`",
        ),
        (active(json!({"host": "a b"})), "/active/host: expected a host name or an IPv4 address"),
        (active(json!({"host": ""})), "/active/host: expected a host name or an IPv4 address"),
        (active(json!({"port": 0})), "/active/port: expected a port from 1 to 65535"),
        (
            active(json!({"http_path": "status"})),
            "/active/http_path: expected a path from `/` on, of printable ASCII without blanks",
        ),
        (
            active(json!({"http_path": "/ HTTP/1.1\r\nX: y"})),
            "/active/http_path: expected a path from `/` on, of printable ASCII without blanks",
        ),
        (active(json!({"req_headers": []})), "/active/req_headers: expected at least one header"),
        (
            active(json!({"req_headers": ["a: b", "c"]})),
            "/active/req_headers/1: expected a header as `Name: value`",
        ),
        (
            active(json!({"req_headers": ["a b: c"]})),
            "/active/req_headers/0: expected a header as `Name: value`",
        ),
        (
            active(json!({"req_headers": ["a: b\r\nc: d"]})),
            "/active/req_headers/0: expected a header as `Name: value`",
        ),
        (
            active(json!({"req_headers": ["HOST: a"]})),
            "/active/req_headers/0: what a probe asks for as `Host` stands in `host`",
        ),
        (
            active(json!({"healthy": {"interval": 0}})),
            "/active/healthy/interval: expected seconds from 1 to 86400, found `0`",
        ),
        (
            active(json!({"healthy": {"successes": 255}})),
            "/active/healthy/successes: expected a number from 1 to 254, found `255`",
        ),
        (
            active(json!({"unhealthy": {"tcp_failures": 0}})),
            "/active/unhealthy/tcp_failures: expected a number from 1 to 254, found `0`",
        ),
        (
            active(json!({"unhealthy": {"http_statuses": [500, 600]}})),
            "/active/unhealthy/http_statuses/1: expected a status from 200 to 599, found `600`",
        ),
        (
            json!({"active": {}, "passive": {"healthy": {"http_statuses": []}}}),
            "/passive/healthy/http_statuses: expected at least one status",
        ),
        (
            json!({"active": {}, "passive": {"healthy": {"interval": 1}}}),
            "/passive/healthy/interval: unknown key",
        ),
        (
            json!({"active": {}, "passive": {"unhealthy": {"timeouts": 0}}}),
            "/passive/unhealthy/timeouts: expected a number from 1 to 254, found `0`",
        ),
    ] {
        let (_, report) = compile(&value);
        assert_eq!(texts(&report.faults), [expected], "{value}");
    }
}
