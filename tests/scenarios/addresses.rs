//! Who may call, by address, and whose word that address is.

use serde_json::{Value, json};

use crate::document::{routes, upstream};
use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// A route with these plugins.
fn route(uri: &str, origin: &Origin, plugins: &Value) -> Value {
    json!({"uri": uri, "upstream": upstream(origin), "plugins": plugins})
}

/// A document with these routes, where `real_ip` tells who calls.
fn guarded(real_ip: &Value, routes: &[Value]) -> String {
    let rules = json!([{"id": "addresses", "plugins": {"real-ip": real_ip}}]);
    json!({"global_rules": rules, "routes": routes}).to_string()
}

fn check_refused(answer: &Answer, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json(), json!({"message": message}));
    assert!(answer.headers.has("content-type") && answer.headers.has("x-splitway-route"));
    assert_eq!(answer.branch().as_deref(), Some("none"));
}

/// What APISIX tells those who may not call.
const NOT_ALLOWED: &str = "Your IP address is not allowed";

/// Those on a white list and those not on a black one; addresses of IPv4 in either form.
pub(crate) fn addresses_pass_by_lists(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let restricted =
        |uri: &str, lists: Value| route(uri, &origin, &json!({"ip-restriction": lists}));
    target.start(&routes(&[
        restricted("/in", json!({"whitelist": ["10.0.0.0/8", "127.0.0.1"]})),
        restricted("/in-mapped", json!({"whitelist": ["::ffff:127.0.0.0/104"]})),
        restricted("/in-other", json!({"blacklist": ["10.0.0.0/8", "::1"]})),
        restricted("/out", json!({"blacklist": ["127.0.0.0/8"]})),
        restricted("/out-mapped", json!({"blacklist": ["::ffff:127.0.0.1"]})),
        restricted("/out-other", json!({"whitelist": ["::/0", "128.0.0.0/1"]})),
        restricted(
            "/own",
            json!({"blacklist": ["0.0.0.0/0"], "message": "no", "response_code": 404}),
        ),
    ]));

    for path in ["/in", "/in-mapped", "/in-other"] {
        assert_eq!(target.call(&Call::get(path)).status, 200, "{path}");
    }
    for path in ["/out", "/out-mapped", "/out-other"] {
        check_refused(&target.call(&Call::get(path)), 403, NOT_ALLOWED);
    }
    check_refused(&target.call(&Call::get("/own")), 404, "no");
    assert_eq!(origin.count(), 3);
}

/// Everything behind the guard goes by the address that a trusted proxy tells.
pub(crate) fn a_header_of_a_trusted_proxy_tells_who_calls(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let branch = |name: &str| json!([{"name": name, "upstream": upstream(&origin)}]);
    let inside = json!([{"vars": [["remote_addr", "ipmatch", ["192.0.2.0/24", "2001:db8::/32"]]]}]);
    let rules = json!([
        {"match": inside, "weighted_upstreams": branch("inside")},
        {"weighted_upstreams": branch("outside")},
    ]);
    let plugins = json!({
        "ip-restriction": {"blacklist": ["198.51.100.0/24"]}, "traffic-split": {"rules": rules},
    });
    let all = route("/*", &origin, &plugins);
    let real_ip = json!({
        "source": "http_x_forwarded_for",
        "trusted_addresses": ["127.0.0.0/8", "10.0.0.0/8"],
        "recursive": true,
    });
    target.start(&guarded(&real_ip, &[all]));

    for (hops, client) in [
        ("192.0.2.7", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7, 10.1.1.1", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::7]:4711, 10.0.0.1", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
    ] {
        let answer = target.call(&Call::get("/x").header("X-Forwarded-For", hops));
        assert_eq!((answer.status, answer.branch().as_deref()), (200, Some("inside")), "{hops}");
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("x-real-ip").as_deref(), Some(client), "{hops}");
        let chain = format!("{hops}, 127.0.0.1");
        assert_eq!(request.header("x-forwarded-for"), Some(chain), "who asked is the hop");
    }
    // Several lines are one list.
    let two = Call::get("/x")
        .header("X-Forwarded-For", "192.0.2.7")
        .header("X-Forwarded-For", "10.0.0.1");
    assert_eq!(target.call(&two).branch().as_deref(), Some("inside"));
    let blocked = Call::get("/x").header("X-Forwarded-For", "192.0.2.7, 198.51.100.1");
    check_refused(&target.call(&blocked), 403, NOT_ALLOWED);
    // What is no address changes nothing.
    for hops in ["", "unknown", "192.0.2.7, ", "192.0.2.7:0", "192.0.2.7, <script>", "192.0.2.7%0a"]
    {
        let answer = target.call(&Call::get("/x").header("X-Forwarded-For", hops));
        assert_eq!((answer.status, answer.branch().as_deref()), (200, Some("outside")), "{hops}");
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("x-real-ip").as_deref(), Some("127.0.0.1"), "{hops}");
    }
}

/// Whoever is not trusted is who the connection is from, whatever its headers say.
pub(crate) fn a_header_of_anybody_else_changes_nothing(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let blocked = json!({"ip-restriction": {"blacklist": ["127.0.0.1"]}});
    let allowed = json!({"ip-restriction": {"whitelist": ["10.0.0.0/8", "::1"]}});
    let lies = ["10.0.0.1", "::1", "10.0.0.1, 10.0.0.2", "[::1]:1", "127.0.0.2", "10.0.0.1:80"];
    for (source, trusted, recursive) in [
        ("http_x_forwarded_for", Some(json!(["10.0.0.0/8", "::1"])), false),
        ("http_x_forwarded_for", Some(json!(["10.0.0.0/8", "::1"])), true),
        ("http_x_real_ip", Some(json!(["10.0.0.0/8"])), false),
        ("arg_ip", Some(json!(["10.0.0.0/8"])), false),
        // Without a list APISIX would believe all of them.
        ("http_x_forwarded_for", None, false),
        ("http_x_real_ip", None, false),
    ] {
        let mut real_ip = json!({"source": source, "recursive": recursive});
        if let Some(trusted) = trusted {
            real_ip["trusted_addresses"] = trusted;
        }
        let all = [
            route("/blocked", &origin, &blocked),
            route("/allowed", &origin, &allowed),
            route("/*", &origin, &json!({})),
        ];
        target.start(&guarded(&real_ip, &all));
        for lie in lies {
            let ask = |path: &str| {
                let call = Call::get(&format!("{path}?ip={lie}").replace(' ', ""));
                target.call(&call.header("X-Forwarded-For", lie).header("X-Real-IP", lie))
            };
            check_refused(&ask("/blocked"), 403, NOT_ALLOWED);
            check_refused(&ask("/allowed"), 403, NOT_ALLOWED);
            assert_eq!(ask("/x").status, 200);
            let request = origin.requests().pop().unwrap();
            assert_eq!(
                request.header("x-real-ip").as_deref(),
                Some("127.0.0.1"),
                "{source}: {lie}"
            );
        }
    }
}
