//! What routes have from services and plugin configs.

use serde_json::{Value, json};

use crate::document::upstream;
use crate::message::Call;
use crate::script::Reply;
use crate::target::Target;

/// A split that sends everything to `uri`.
fn all_to(uri: &str) -> Value {
    json!({"traffic-split": {"rules": [{"weighted_upstreams": [{"rewrite": {"uri": uri}}]}]}})
}

/// Hosts and upstream of the service, unless the route has its own.
pub(crate) fn a_route_has_from_its_service_what_it_does_not_say(target: &mut impl Target) {
    let (own, shared) = (target.origin(Reply::ok("own")), target.origin(Reply::ok("shared")));
    let hosts = json!(["a.example.com", "*.b.example.com"]);
    target.start(
        &json!({
            "services": [{"id": "s", "hosts": hosts, "upstream": upstream(&shared)}],
            "routes": [
                {"id": "plain", "uri": "/plain", "service_id": "s"},
                {"id": "host", "uri": "/host", "host": "c.example.com", "service_id": "s"},
                {"id": "own", "uri": "/own", "upstream": upstream(&own), "service_id": "s"},
            ],
        })
        .to_string(),
    );

    let check = |host: &str, uri: &str, expected: Option<&str>| {
        let answer = target.call(&Call::get(uri).header("host", host));
        let expected = expected.map_or((404, None), |body| (200, Some(body)));
        let body = (answer.status == 200).then(|| answer.text());
        assert_eq!((answer.status, body.as_deref()), expected, "{host} {uri}");
    };
    check("a.example.com", "/plain", Some("shared"));
    check("x.b.example.com", "/plain", Some("shared"));
    check("c.example.com", "/plain", None);
    check("c.example.com", "/host", Some("shared"));
    check("a.example.com", "/host", None);
    check("a.example.com", "/own", Some("own"));
    check("c.example.com", "/own", None);
}

/// The route's before the plugin config's before the service's; one that is disabled is one, too.
pub(crate) fn a_plugin_is_taken_whole_from_the_nearest(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let disabled = json!({"traffic-split": {"_meta": {"disable": true}}});
    target.start(
        &json!({
            "services": [{"id": "s", "upstream": upstream(&origin), "plugins": all_to("/service")}],
            "plugin_configs": [
                {"id": "p", "plugins": all_to("/config")},
                {"id": "empty", "plugins": {}},
            ],
            "routes": [
                {"uri": "/a", "service_id": "s"},
                {"uri": "/b", "service_id": "s", "plugin_config_id": "p"},
                {"uri": "/c", "service_id": "s", "plugin_config_id": "p", "plugins": all_to("/own")},
                {"uri": "/d", "service_id": "s", "plugin_config_id": "empty", "plugins": {}},
                {"uri": "/e", "service_id": "s", "plugin_config_id": "p", "plugins": disabled},
                {"uri": "/f", "upstream": upstream(&origin), "plugin_config_id": "p"},
            ],
        })
        .to_string(),
    );

    for uri in ["/a", "/b", "/c", "/d", "/e", "/f"] {
        assert_eq!(target.call(&Call::get(uri)).status, 200, "{uri}");
    }
    let targets: Vec<String> = origin.requests().into_iter().map(|it| it.target).collect();
    assert_eq!(targets, ["/service", "/config", "/own", "/service", "/e", "/config"]);
}

/// What else the route would have had from there is not known, so that it goes nowhere.
pub(crate) fn a_route_of_a_service_that_is_gone_is_a_503_problem(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(
        &json!({
            "published": {"format": 1, "ledger": "l", "revision": 7},
            "routes": [
                {"uri": "/a", "service_id": "gone", "upstream": upstream(&origin)},
                {"uri": "/b", "plugin_config_id": "gone", "upstream": upstream(&origin)},
                {"uri": "/c", "upstream": upstream(&origin)},
            ],
        })
        .to_string(),
    );

    let mut statuses = ["/a", "/b", "/c"].map(|uri| target.call(&Call::get(uri)).status);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503, 503]);
    assert_eq!(origin.count(), 1);
}
