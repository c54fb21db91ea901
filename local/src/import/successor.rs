//! Who gets the requests of a route that is left out. A gap in a configuration is filled by the next
//! route that takes the same requests, which may be one that guards them less.

use serde_json::Value;

/// The routes that are left.
#[derive(Debug)]
pub(super) struct Successors<'r>(Vec<Taken<'r>>);

/// What a route takes. Expressions and services are not looked at.
#[derive(Debug)]
struct Taken<'r> {
    id: &'r str,
    uris: Vec<&'r str>,
    hosts: Vec<&'r str>,
    methods: Vec<&'r str>,
}

impl<'r> Successors<'r> {
    /// The enabled ones among `routes`, which all have ids.
    pub(super) fn new(routes: &'r [Value]) -> Self {
        let is_enabled = |route: &&Value| route.get("status").and_then(Value::as_u64) != Some(0);
        Self(routes.iter().filter(is_enabled).map(Taken::of).collect())
    }

    /// The id of a route that takes requests which `lost` would have taken, if there is one: of
    /// several the one with the longest path.
    pub(super) fn of(&self, lost: &Value) -> Option<&'r str> {
        let lost = Taken::of(lost);
        let reach = |route: &Taken<'r>| route.reach(&lost).map(|length| (length, route.id));
        // Of equals the first, which precedes the others in the router too.
        let longest = |best: (usize, &'r str), next: (usize, &'r str)| {
            if next.0 > best.0 { next } else { best }
        };
        self.0.iter().filter_map(reach).reduce(longest).map(|(_, id)| id)
    }
}

impl<'r> Taken<'r> {
    fn of(route: &'r Value) -> Self {
        let texts = |key: &str| {
            let list = route.get(key).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str)
        };
        let one = |key: &str| route.get(key).and_then(Value::as_str).into_iter();
        Self {
            id: one("id").next().unwrap_or_default(),
            uris: one("uri").chain(texts("uris")).collect(),
            hosts: one("host").chain(texts("hosts")).collect(),
            methods: texts("methods").collect(),
        }
    }

    /// The length of the longest path with which it takes some of what `lost` took.
    fn reach(&self, lost: &Self) -> Option<usize> {
        let shares_methods = shares(&self.methods, &lost.methods, |own, other| own == other);
        if !shares_methods || !shares(&self.hosts, &lost.hosts, is_alike) {
            return None;
        }
        let taking = self.uris.iter().filter(|own| lost.uris.iter().any(|uri| takes(own, uri)));
        taking.map(|uri| uri.len()).max()
    }
}

/// Whether both lists name one; an empty list names all.
fn shares(own: &[&str], other: &[&str], is_alike: impl Fn(&str, &str) -> bool) -> bool {
    let is_in_other = |own: &&str| other.iter().any(|other| is_alike(own, other));
    own.is_empty() || other.is_empty() || own.iter().any(is_in_other)
}

fn is_alike(own: &str, other: &str) -> bool {
    let is_within =
        |wild: &str, name: &str| wild.strip_prefix('*').is_some_and(|end| name.ends_with(end));
    own == other || is_within(own, other) || is_within(other, own)
}

/// Whether a path pattern takes all that another one takes.
fn takes(own: &str, other: &str) -> bool {
    own == other || own.strip_suffix('*').is_some_and(|prefix| other.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_successor_is_the_most_specific_that_is_left() {
        let routes = [
            json!({"id": "all", "uri": "/*"}),
            json!({"id": "off", "uri": "/admin/*", "status": 0}),
            json!({"id": "posts", "uri": "/admin/*", "methods": ["POST"]}),
            json!({"id": "other", "uri": "/admin/*", "host": "other.example.com"}),
            json!({"id": "below", "uri": "/admin/users"}),
        ];
        let successors = Successors::new(&routes);
        let admin = json!({"uris": ["/admin/*"], "host": "a.example.com", "methods": ["GET"]});
        assert_eq!(successors.of(&admin), Some("all"));
        assert_eq!(successors.of(&json!({"uri": "/admin/x"})), Some("posts"));
        let other = json!({"uri": "/admin/users", "hosts": ["*.example.com"], "methods": ["GET"]});
        assert_eq!(successors.of(&other), Some("below"));
        assert_eq!(Successors::new(&[]).of(&admin), None);
    }
}
