//! The routers, held against what APISIX is known to do and against plain scans.

use std::cmp::Reverse;
use std::net::IpAddr;

use serde_json::json;

use super::*;
use crate::address;
use crate::facts::{Body, Draft};
use crate::head::Head;

use RouterKind::{HostUri, Uri, UriWithParameter};

/// A request, as far as routes look at it.
#[derive(Clone, Debug)]
struct Ask {
    method: &'static str,
    host: String,
    path: String,
    client: Option<IpAddr>,
}

impl Head for Ask {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn client(&self) -> Option<IpAddr> {
        self.client
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        80
    }

    fn is_fronted(&self) -> bool {
        false
    }
}

fn ask(method: &'static str, host: &str, path: &str) -> Ask {
    Ask { method, host: host.to_owned(), path: path.to_owned(), client: None }
}

/// Notes what it sees.
#[derive(Debug, Default)]
struct Notes(Vec<(usize, String)>);

impl Witness for Notes {
    fn passed_over(&mut self, route: usize, why: Passed) {
        self.0.push((route, format!("{why:?}")));
    }
}

/// The number of the route and what its parameters stand for, as owned text.
type Told = Option<(usize, Vec<(String, String)>)>;

fn find(router: &Router, ask: &Ask, witness: &mut dyn Witness) -> Told {
    let draft = Draft::of(ask);
    let found = router.find(&Facts::new(ask, &draft, Body::Unread), witness)?;
    let own = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
    Some((found.route, found.params.iter().map(own).collect()))
}

fn number(router: &Router, method: &'static str, host: &str, path: &str) -> Option<usize> {
    find(router, &ask(method, host, path), &mut Nobody).map(|(route, _)| route)
}

fn own(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn route(hosts: &[&str], uris: &[&str], methods: &[&str], priority: i64) -> Conditions {
    let (hosts, uris, methods) = (own(hosts), own(uris), own(methods));
    let (hosts, uris, methods) = (hosts.into(), uris.into(), methods.into());
    Conditions { hosts, uris, methods, priority, ..Conditions::default() }
}

fn router(kind: RouterKind, routes: Vec<Conditions>) -> Router {
    Router::new(kind, routes).0
}

#[test]
fn exact_then_longest_prefix_then_priority_then_order() {
    for kind in [HostUri, Uri, UriWithParameter] {
        let router = router(
            kind,
            vec![
                route(&[], &["/*"], &[], 100),
                route(&[], &["/a/*"], &[], 50),
                route(&[], &["/a/b"], &[], 0),
                route(&[], &["/a/b*"], &["POST"], 0),
                route(&[], &["/a/b*"], &[], -1),
                route(&[], &["/a/b*"], &["POST"], 7),
            ],
        );
        let find = |method, path| number(&router, method, "h", path);
        assert_eq!(find("GET", "/a/b"), Some(2));
        assert_eq!(find("POST", "/a/bc"), Some(5));
        assert_eq!(find("GET", "/a/bc"), Some(4));
        assert_eq!(find("BREW", "/a/bc"), Some(4));
        assert_eq!(find("GET", "/a/c"), Some(1));
        assert_eq!(find("GET", "/b"), Some(0));
        assert_eq!(find("GET", "*"), None);
    }
}

#[test]
fn hosts_come_before_any_host_and_fall_through() {
    let router = router(
        HostUri,
        vec![
            route(&[], &["/*"], &[], 0),
            route(&["api.example.com"], &["/x"], &[], 0),
            route(&["*.example.com"], &["/x", "/y"], &[], 0),
            route(&["*.com"], &["/z"], &[], 0),
            route(&["*"], &["/w"], &[], 0),
        ],
    );
    let find = |host, path| number(&router, "GET", host, path);
    assert_eq!(find("api.example.com", "/x"), Some(1));
    assert_eq!(find("API.example.COM:8080", "/y"), Some(2));
    assert_eq!(find("api.example.com", "/z"), Some(3));
    assert_eq!(find("example.com", "/x"), Some(0));
    assert_eq!(find("a.b.example.com", "/x"), Some(2));
    assert_eq!(find("other.org", "/x"), Some(0));
    assert_eq!(find("other.org", "/w"), Some(4));
    let long = format!("{}.example.com", "a".repeat(255));
    assert_eq!(find(&long, "/x"), Some(0), "longer than a host can be");
}

#[test]
fn a_path_comes_before_hosts_where_they_are_a_condition() {
    for kind in [Uri, UriWithParameter] {
        let router = router(
            kind,
            vec![
                route(&[], &["/api/very/long"], &[], 0),
                route(&["foo.com"], &["/*"], &[], 0),
                route(&["www.foo.com"], &["/hello"], &[], 0),
                route(&["*.foo.com"], &["/hello"], &[], 100),
                route(&["Bar.com:9080"], &["/port"], &[], 0),
            ],
        );
        let find = |host, path| number(&router, "GET", host, path);
        assert_eq!(find("foo.com", "/api/very/long"), Some(0));
        assert_eq!(find("foo.com", "/other"), Some(1));
        assert_eq!(find("www.FOO.com:80", "/hello"), Some(3));
        assert_eq!(find("bar.com:9080", "/port"), Some(4));
        assert_eq!(find("bar.com", "/port"), None);
        assert_eq!(find("foo.com", "/hello"), Some(1));
    }
}

#[test]
fn hosts_with_a_port_or_capitals_are_nobodys_where_hosts_come_first() {
    let router = router(HostUri, vec![route(&["foo.com:9080", "Bar.com"], &["/*"], &[], 0)]);
    for host in ["foo.com:9080", "foo.com", "Bar.com", "bar.com"] {
        assert_eq!(number(&router, "GET", host, "/"), None, "{host}");
    }
}

#[test]
fn parameters_are_told() {
    let uris = ["/u/:id/p/:pid", "/f/:id/*rest", "/x/*", "/u/me/p/1", "/y*"];
    let routes = uris.iter().map(|uri| route(&[], &[uri], &[], 0)).collect();
    let router = router(UriWithParameter, routes);
    for (path, number, params) in [
        ("/u/7/p/9", 0, &[("id", "7"), ("pid", "9")][..]),
        ("/u/me/p/1", 3, &[]),
        ("/u/me/p/2", 0, &[("id", "me"), ("pid", "2")]),
        ("/f/1/a%20%2Fb", 1, &[("id", "1"), ("rest", "a /b")]),
        ("/x/a/b", 2, &[(":ext", "a/b")]),
        ("/yes", 4, &[]),
    ] {
        let own = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let expected = Some((number, own.collect()));
        assert_eq!(find(&router, &ask("GET", "h", path), &mut Nobody), expected, "{path}");
    }
}

#[test]
fn longer_paths_come_first_among_those_with_one_beginning() {
    let uris = ["/a/*", "/a/:b", "/a/:b/c", "/a/:name"];
    let routes = uris.iter().map(|uri| route(&[], &[uri], &[], 0)).collect();
    let router = router(UriWithParameter, routes);
    let find = |path| number(&router, "GET", "h", path);
    assert_eq!(find("/a/x"), Some(3));
    assert_eq!(find("/a/x/c"), Some(2));
    assert_eq!(find("/a/x/d"), Some(0));
}

#[test]
fn a_colon_is_a_colon_in_the_other_routers() {
    for kind in [HostUri, Uri] {
        let router = router(kind, vec![route(&[], &["/blog/:name"], &[], 0)]);
        assert_eq!(number(&router, "GET", "h", "/blog/:name"), Some(0));
        assert_eq!(number(&router, "GET", "h", "/blog/dog"), None);
    }
}

#[test]
fn addresses_are_compared_as_what_they_are() {
    let addresses = ["127.0.0.0/8", "2001:db8::1"].map(|it| address::network(it).unwrap());
    let inside = Conditions { addresses: addresses.to_vec().into(), ..route(&[], &["/"], &[], 1) };
    let router = router(HostUri, vec![inside, route(&[], &["/"], &[], 0)]);
    for (client, expected) in [
        (Some("127.9.9.9"), 0),
        (Some("::ffff:127.0.0.1"), 0),
        (Some("2001:db8::1"), 0),
        (Some("2001:db8::2"), 1),
        (Some("10.0.0.1"), 1),
        (None, 1),
    ] {
        let client = client.map(|text| text.parse().unwrap());
        let ask = Ask { client, ..ask("GET", "h", "/") };
        assert_eq!(find(&router, &ask, &mut Nobody).map(|it| it.0), Some(expected), "{client:?}");
    }
}

#[test]
fn a_witness_hears_of_each_that_is_passed_over_in_order() {
    let address = address::network("10.0.0.1").unwrap();
    let router = router(
        Uri,
        vec![
            route(&[], &["/a"], &["PUT"], 3),
            Conditions { addresses: vec![address].into(), ..route(&["z"], &["/a"], &["GET"], 2) },
            route(&["z"], &["/*"], &["GET"], 0),
            route(&[], &["/*"], &["GET"], 0),
            route(&[], &["/*"], &[], 0),
            route(&[], &["/b"], &[], 0),
            route(&["z"], &["/"], &[], 0),
            Conditions { is_disabled: true, ..route(&[], &["/a"], &[], 9) },
        ],
    );
    let mut notes = Notes::default();
    let ask = ask("GET", "h", "/a");
    assert_eq!(find(&router, &ask, &mut notes).unwrap().0, 3);
    let notes: Vec<(usize, &str)> = notes.0.iter().map(|(at, why)| (*at, why.as_str())).collect();
    assert_eq!(notes, [(0, "Method"), (1, "Address"), (2, "Host")]);
    let draft = Draft::of(&ask);
    let facts = Facts::new(&ask, &draft, Body::Unread);
    for (route, why) in
        [(4, Refusal::Behind), (5, Refusal::Path), (7, Refusal::Status), (99, Refusal::Status)]
    {
        assert_eq!(router.refusal(route, &facts), why, "{route}");
    }
    assert_eq!(router.refusal(2, &facts), Refusal::Host);
}

fn unreached(kind: RouterKind, routes: Vec<Conditions>) -> Vec<(usize, Vec<usize>)> {
    Router::new(kind, routes).1.into_iter().map(|it| (it.route, it.by)).collect()
}

#[test]
fn what_is_never_reached_is_known() {
    let vars = || {
        let written = json!([["arg_a", "==", "1"]]);
        let expr = crate::expr::Expr::compile(
            &written,
            crate::fault::At::Root,
            &mut crate::fault::Report::default(),
        );
        Some(expr.unwrap())
    };
    let any = |uri| route(&[], &[uri], &[], 0);
    for kind in [HostUri, Uri, UriWithParameter] {
        assert_eq!(unreached(kind, vec![any("/a"), any("/a")]), [(1, vec![0])]);
        let above = route(&[], &["/a"], &[], 1);
        assert_eq!(unreached(kind, vec![any("/a"), above]), [(0, vec![1])]);
        assert_eq!(unreached(kind, vec![any("/a"), any("/a*")]), []);
        let two = route(&[], &["/a", "/b"], &[], 0);
        assert_eq!(unreached(kind, vec![any("/a"), two]), []);
        let two = route(&[], &["/a", "/b"], &[], 0);
        assert_eq!(unreached(kind, vec![any("/a"), any("/b"), two]), [(2, vec![0, 1])]);
        let (get, post) = (route(&[], &["/a"], &["GET"], 0), route(&[], &["/a"], &["POST"], 0));
        let both = route(&[], &["/a"], &["GET", "POST"], 0);
        assert_eq!(unreached(kind, vec![get, post, both, any("/a")]), [(2, vec![0, 1])]);
        let first = Conditions { vars: vars().map(Box::new), ..any("/a") };
        assert_eq!(unreached(kind, vec![first, any("/a")]), []);
        let second = Conditions { vars: vars().map(Box::new), ..any("/a") };
        assert_eq!(unreached(kind, vec![any("/a"), second]), [(1, vec![0])]);
        let disabled = Conditions { is_disabled: true, ..any("/a") };
        assert_eq!(unreached(kind, vec![disabled, any("/a")]), []);
        let hosted = |host| route(&[host], &["/a"], &[], 0);
        assert_eq!(unreached(kind, vec![hosted("a.b"), hosted("a.b")]), [(1, vec![0])]);
        assert_eq!(unreached(kind, vec![hosted("a.b"), hosted("c.b"), any("/a")]), []);
    }
    let hosted = |host| route(&[host], &["/a"], &[], 0);
    assert_eq!(unreached(HostUri, vec![any("/a"), hosted("a.b")]), []);
    for kind in [Uri, UriWithParameter] {
        assert_eq!(unreached(kind, vec![any("/a"), hosted("a.b")]), [(1, vec![0])]);
        assert_eq!(unreached(kind, vec![hosted("*.b"), hosted("c.a.b")]), [(1, vec![0])]);
        assert_eq!(unreached(kind, vec![hosted("*.b"), hosted("*.a.B")]), [(1, vec![0])]);
        assert_eq!(unreached(kind, vec![hosted("*.a.b"), hosted("*.b")]), []);
    }
    let kind = UriWithParameter;
    assert_eq!(unreached(kind, vec![any("/a/:b/c"), any("/a/:d/c")]), [(1, vec![0])]);
    assert_eq!(unreached(kind, vec![any("/a/:b/c"), any("/a/:b/d")]), []);
    let above = route(&[], &["/a/*"], &[], 1);
    assert_eq!(unreached(kind, vec![any("/a/:b/c"), above]), [(0, vec![1])]);
}

/// SplitMix64, for chance that is the same in every run of a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) >> 16) % bound
    }

    fn one_of<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn path(&mut self, segments: &[&str]) -> String {
        let count = 1 + self.below(4);
        (0..count).map(|_| format!("/{}", self.one_of(segments))).collect()
    }
}

/// Whether segments are what a pattern's segments mean, tried in every way.
fn fits(pattern: &[&str], path: &[&str]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [first, rest @ ..] if first.starts_with('*') => {
            (1..=path.len()).any(|taken| fits(rest, &path[taken..]))
        }
        [last] if last.ends_with('*') && !last.starts_with(':') => {
            path.join("/").starts_with(last.trim_end_matches('*')) && !path.is_empty()
        }
        [first, rest @ ..] => path.split_first().is_some_and(|(segment, behind)| {
            let fits_here =
                if first.starts_with(':') { !segment.is_empty() } else { segment == first };
            fits_here && fits(rest, behind)
        }),
    }
}

/// How a route under one of its paths and hosts is ranked, if it takes a request.
type Rank = (u8, Reverse<usize>, bool, Reverse<usize>, Reverse<i64>, Reverse<usize>, usize);

fn ranks(kind: RouterKind, routes: &[Conditions], ask: &Ask) -> Vec<Rank> {
    let mut ranks = Vec::new();
    for (number, route) in routes.iter().enumerate() {
        let methods = &route.methods;
        if !(methods.is_empty() || methods.iter().any(|it| it == ask.method)) {
            continue;
        }
        let hosts = route.hosts.iter().filter_map(|host| match host.strip_prefix('*') {
            Some(end) => ask.host.ends_with(end).then_some((1, Reverse(end.len()))),
            None => (*host == ask.host).then_some((0, Reverse(0))),
        });
        let mut hosts: Vec<(u8, Reverse<usize>)> = hosts.collect();
        if route.hosts.is_empty() {
            hosts.push((2, Reverse(0)));
        }
        if kind != HostUri {
            hosts = hosts.iter().take(1).map(|_| (0, Reverse(0))).collect();
        }
        for uri in &route.uris {
            let special = uri.split('/').position(|segment| segment.starts_with([':', '*']));
            let (takes, lead) = match (kind, special, uri.strip_suffix('*')) {
                (UriWithParameter, Some(at), _) => {
                    let lead: usize = uri.split('/').take(at).map(|it| it.len() + 1).sum();
                    let (pattern, path): (Vec<&str>, Vec<&str>) =
                        (uri.split('/').collect(), ask.path.split('/').collect());
                    (fits(&pattern, &path), Some(lead))
                }
                (_, _, Some(start)) => (ask.path.starts_with(start), Some(start.len())),
                (_, _, None) => (*uri == ask.path, None),
            };
            for (kind, length) in hosts.iter().filter(|_| takes) {
                let (is_prefix, lead) = (lead.is_some(), Reverse(lead.unwrap_or(0)));
                let (priority, written) = (Reverse(route.priority), Reverse(uri.len()));
                ranks.push((*kind, *length, is_prefix, lead, priority, written, number));
            }
        }
    }
    ranks.sort();
    ranks
}

#[test]
fn the_index_agrees_with_a_scan() {
    let hosts = ["a.x", "b.a.x", "*.x", "*.a.x", "*x", "*", "y", "z", "c.x", "*a.x"];
    let segments = ["a", "b", "ab", "aa*b", "", ":p", ":q", "*", "*r"];
    let mut indexes = 0;
    for seed in 0..1_500 {
        let mut chance = Chance(seed);
        let kind = [HostUri, Uri, UriWithParameter][(seed % 3) as usize];
        let mut routes = Vec::new();
        // Every other document has most of its routes in one list, which is long.
        let lead =
            ["", ["/*", "/:p", "/:p", "/a"][(seed / 6 % 4) as usize]][(seed / 3 % 2) as usize];
        let count_max = if lead.is_empty() { 24 } else { 60 };
        for _ in 0..=chance.below(count_max) {
            let star = if chance.below(3) == 0 { "*" } else { "" };
            let mut uris: Vec<String> = (0..=chance.below(2))
                .map(|_| match (lead, chance.below(4)) {
                    (_, 0) => chance.path(&segments) + star,
                    ("/*" | "/a", 1) => lead.to_owned(),
                    _ => format!("{lead}{}{star}", chance.path(&segments)),
                })
                .collect();
            uris.retain(|uri| kind != UriWithParameter || Pattern::fault(uri).is_none());
            let hosts = (0..chance.below(3)).map(|_| chance.one_of(&hosts).to_owned()).collect();
            let methods =
                (0..chance.below(3)).map(|_| chance.one_of(&["GET", "PUT"]).to_owned()).collect();
            let priority = i64::try_from(chance.below(3)).unwrap();
            let uris = uris.into();
            routes.push(Conditions { hosts, uris, methods, priority, ..Conditions::default() });
        }
        let asks: Vec<Ask> = (0..60)
            .map(|_| {
                let method = chance.one_of(&["GET", "PUT", "BREW"]);
                let method = ["GET", "PUT", "BREW"].into_iter().find(|it| *it == method).unwrap();
                let path = chance.path(&["a", "b", "ab", "abc", "aa*b", "*", ":p"]);
                let end = chance.one_of(&["", "/"]);
                ask(method, chance.one_of(&["a.x", "b.a.x", "c.x", "x", "y", "z"]), &(path + end))
            })
            .collect();
        let scans: Vec<Option<usize>> =
            asks.iter().map(|ask| ranks(kind, &routes, ask).first().map(|it| it.6)).collect();
        let (router, unreached) = Router::new(kind, routes);
        indexes += router.indexes.len();
        for (ask, scan) in asks.iter().zip(scans) {
            let found = number(&router, ask.method, &ask.host, &ask.path);
            assert_eq!(found, scan, "seed {seed}: {ask:?}");
            assert!(unreached.iter().all(|it| Some(it.route) != found), "seed {seed}: {ask:?}");
        }
    }
    assert!(indexes > 300, "{indexes} long lists");
}

#[test]
fn in_a_long_list_those_are_asked_that_host_and_segments_leave() {
    let mut routes: Vec<Conditions> =
        (0..50).map(|at| route(&[&format!("h{at}.x")], &[&format!("/:t/r{at}")], &[], 0)).collect();
    routes.push(route(&["H7.X:80", "h7.x", "*.x", "*"], &["/:t/r7"], &["PUT"], 1));
    routes.push(route(&["H7.X:80", "h7.x"], &["/:t/*rest/r7"], &[], 0));
    routes.push(route(&["*7.x"], &["/:t/r*"], &[], -1));
    routes.push(route(&[], &["/:t/*"], &[], -2));
    let router = router(UriWithParameter, routes);
    assert_eq!(router.indexes.len(), 1);
    for (host, path, expected, passed) in [
        ("h7.x:80", "/t/r7", Some(7), &[50][..]),
        ("h7.x", "/t/r8", Some(52), &[]),
        ("h7.x:81", "/t/a/b/r7", Some(51), &[]),
        ("h8.x", "/t/r7", Some(53), &[50]),
        ("h8.x", "/t/r8", Some(8), &[]),
        ("h7.x", "/t", None, &[]),
        ("h7.x", "/", None, &[]),
    ] {
        let mut notes = Notes::default();
        let found = find(&router, &ask("GET", host, path), &mut notes).map(|(route, _)| route);
        assert_eq!(found, expected, "{host} {path}");
        let notes: Vec<usize> = notes.0.iter().map(|(route, _)| *route).collect();
        assert_eq!(notes, passed, "{host} {path}");
    }
}

#[test]
fn a_host_under_many_wildcards_finds_what_a_scan_finds() {
    let wild = |count| format!("*{}", ".a".repeat(count));
    let routes = (1..40).map(|count| route(&[&wild(count)], &["/*"], &["GET"], 0)).collect();
    let router = router(Uri, routes);
    for count in 1..40 {
        let host = format!("x{}", ".a".repeat(count));
        assert_eq!(number(&router, "GET", &host, "/"), Some(0), "{host}");
        let mut notes = Notes::default();
        assert_eq!(find(&router, &ask("PUT", &host, "/"), &mut notes), None);
        assert!(notes.0.len() >= count, "{host}");
    }
}

#[test]
fn hosts_with_the_same_routes_share_their_paths() {
    let hosts: Vec<String> = (0..100).map(|at| format!("h{at}.x")).collect();
    let all: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let mut routes: Vec<Conditions> =
        (0..100).map(|at| route(&all, &[&format!("/r{at}")], &[], 0)).collect();
    routes.push(route(&["h7.x", "*.x", "*7.x"], &["/r*"], &[], 0));
    let router = router(HostUri, routes);
    assert_eq!(router.candidates.len(), 100 + 101 + 1);
    let find = |host, path| number(&router, "GET", host, path);
    assert_eq!(find("h8.x", "/r42"), Some(42));
    assert_eq!(find("h7.x", "/r42"), Some(42));
    assert_eq!(find("h7.x", "/rest"), Some(100));
    assert_eq!(find("h8.x", "/rest"), Some(100), "by the wildcard");
    assert_eq!(find("a.b", "/r42"), None);
}

/// What is allocated by looking for the route of a request.
fn allocations(router: &Router, ask: &Ask) -> u64 {
    let draft = Draft::of(ask);
    let facts = Facts::new(ask, &draft, Body::Unread);
    let search = || drop(router.find(&facts, &mut Nobody));
    allocation_counter::measure(search).count_total
}

#[test]
fn nothing_is_allocated_on_the_road_but_what_parameters_stand_for() {
    let narrow = |route| Conditions {
        addresses: vec![address::network("10.0.0.0/8").unwrap()].into(),
        priority: 1,
        ..route
    };
    let asks = [
        ask("GET", "api.Example.com:8080", "/chat/completions"),
        ask("PUT", "other.org", "/chat/x"),
        ask("BREW", "", "/nothing/here"),
        ask("GET", &"a".repeat(300), "/chat/completions"),
    ];
    for kind in [HostUri, Uri, UriWithParameter] {
        let routes = vec![
            route(&["api.example.com"], &["/chat/completions"], &["POST"], 0),
            narrow(route(&["*.example.com"], &["/chat/completions"], &[], 0)),
            route(&["*.example.com"], &["/chat/completions"], &["GET"], 0),
            route(&[], &["/chat*"], &[], 0),
        ];
        let router = router(kind, routes);
        for ask in &asks {
            assert_eq!(allocations(&router, ask), 0, "{kind:?} {ask:?}");
        }
    }
    let long = |kind| {
        let own = |at| route(&[&format!("h{at}.example.com")], &["/*"], &["GET"], 0);
        router(kind, (0..100).map(own).collect())
    };
    let ask_long = |method| ask(method, "h99.Example.com:8080", "/x");
    assert_eq!(allocations(&long(Uri), &ask_long("GET")), 0);
    assert_eq!(allocations(&long(UriWithParameter), &ask_long("PUT")), 0);
    let router = router(UriWithParameter, vec![route(&[], &["/u/:id"], &["GET"], 0)]);
    assert_eq!(allocations(&router, &ask("GET", "h", "/u/1")), 2, "a list and a text");
    assert_eq!(allocations(&router, &ask("PUT", "h", "/u/1")), 0);
}
