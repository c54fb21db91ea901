use std::borrow::Cow;

use serde_json::{Map, Value};

use super::*;

/// A request that has something in each place that a line might show.
struct Asked {
    method: String,
    path: String,
    host: String,
}

impl Default for Asked {
    fn default() -> Self {
        let (method, path) = ("POST".to_owned(), "/v1/chat".to_owned());
        Self { method, path, host: "api.example.com:8080".to_owned() }
    }
}

impl Head for Asked {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        Some("token=secret-of-the-query")
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(if name == "content-length" { "17" } else { "secret-of-a-header" }))
    }

    fn client(&self) -> Option<IpAddr> {
        "::ffff:192.0.2.7".parse().ok()
    }

    fn scheme(&self) -> &str {
        "https"
    }

    fn port(&self) -> u16 {
        443
    }

    fn is_fronted(&self) -> bool {
        false
    }
}

#[derive(Serialize)]
struct Line<'l> {
    at_ms: u64,
    level: &'l str,
    event: &'l str,
    #[serde(flatten)]
    fields: Fields<'l>,
}

fn begun(record: &Record<'_>, head: Option<&dyn Head>, share: Share) -> Begun {
    let fields = record.fields(head, share);
    let line = Line { at_ms: 1, level: "info", event: record.event(), fields };
    Begun::new(&line).expect("an object")
}

fn read(line: &str) -> Map<String, Value> {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn full() -> Record<'static> {
    Record {
        duration: Duration::from_millis(12),
        route: Some("chat"),
        branch: Some("v2"),
        picked: Some("v1"),
        reason: Some("failover"),
        attempts: 2,
        node: Some("127.0.0.1:8001"),
        revision: Some("7"),
        consumer: Some("jack"),
        request_id: Some("0c5e"),
        problem: Some("http_response_timeout"),
        original: Some(Original {
            branch: "v1".into(),
            status: 200,
            duration: Duration::from_millis(3),
        }),
        ..Record::new(Timestamp::from_millis(1), 504)
    }
}

#[test]
fn each_member_of_a_line_is_explained_and_in_its_place() {
    let asked = Asked { path: "/a".repeat(1024), ..Asked::default() };
    let end = Ending { total_ms: Some(20), bytes_out: Some(5), end: Some(End::Left) };
    let share = "0.25".parse().expect("a share");
    let line = begun(&full(), Some(&asked), share).end(&end);
    let place = |name: &str| line.find(&format!("\"{name}\":"));
    let members = read(&line);
    let explained = FIELDS.map(|(name, _)| name);
    for name in members.keys() {
        assert!(explained.contains(&name.as_str()), "{name} is not explained");
    }
    let mut names = explained;
    names.sort_by_key(|name| place(name).unwrap_or_else(|| panic!("{name} is not in {line}")));
    assert_eq!(names, explained, "in their order");
    assert!(line.starts_with(r#"{"at_ms":1,"level":"info","event":"copy","status":504,"route":"#));
    assert!(line.ends_with(r#""total_ms":20,"bytes_out":5,"end":"left"}"#), "{line}");
    assert_eq!(members["sample"], 0.25);
    assert_eq!(members["client"], "192.0.2.7");
    assert_eq!(members["bytes_in"], 17);
}

#[test]
fn a_line_without_much_to_say_is_short() {
    let record = Record::new(Timestamp::from_millis(1), 408);
    let line = begun(&record, None, Share::WHOLE).end(&Ending::default());
    let expected = r#"{"at_ms":1,"level":"info","event":"request","status":408,"route":null,"branch":null,"revision":null,"duration_ms":0}"#;
    assert_eq!(line, expected);
}

#[test]
fn neither_headers_nor_queries_nor_passwords_are_told() {
    let asked = Asked { host: "jack:secret@api.example.com".to_owned(), ..Asked::default() };
    let line = begun(&full(), Some(&asked), Share::WHOLE).end(&Ending::default());
    assert!(!line.contains("secret"), "{line}");
    assert_eq!(read(&line)["host"], "api.example.com");
}

#[test]
fn whatever_clients_send_is_one_line_of_bounded_length() {
    let nasty: String = ('\0'..='\u{2fff}').cycle().take(1 << 20).collect();
    let forged =
        "/\",\"status\":200}\r\n{\"event\":\"request\",\"route\":\"forged\"}\u{1b}[2J\u{9b}31m";
    for text in [nasty.as_str(), forged, "\\", "\u{fffd}\u{fffd}", "\u{202e}"] {
        let asked = Asked { method: text.to_owned(), path: text.to_owned(), host: text.to_owned() };
        let record = Record { request_id: Some(text), ..full() };
        let line = begun(&record, Some(&asked), Share::WHOLE).end(&Ending::default());
        assert!(line.len() < 6000, "{} bytes", line.len());
        assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
        let members = read(&line);
        assert_eq!((&members["status"], &members["route"]), (&504.into(), &"chat".into()));
        let path = members["path"].as_str().expect("a text");
        let decoded = percent_encoding::percent_decode_str(path).collect::<Vec<u8>>();
        let shown = text.as_bytes().get(..PATH_MAX).unwrap_or(text.as_bytes());
        assert_eq!(decoded, shown, "a path is escaped so that it can be read again");
        assert_eq!(members.contains_key("path_bytes"), text.len() > PATH_MAX);
    }
}

#[test]
fn a_point_has_a_text_and_a_number_for_each_that_is_explained() {
    let (record, asked) = (full(), Asked::default());
    let point = record.point(&asked, "0.5".parse().expect("a share"));
    let texts: Vec<(&str, &str)> =
        BLOBS.iter().zip(&point.blobs).map(|((name, _), text)| (*name, &**text)).collect();
    let expected = [
        ("event", "copy"),
        ("route", "chat"),
        ("branch", "v2"),
        ("picked", "v1"),
        ("reason", "failover"),
        ("revision", "7"),
        ("problem", "http_response_timeout"),
        ("node", "127.0.0.1:8001"),
        ("method", "POST"),
        ("host", "api.example.com:8080"),
        ("consumer", "jack"),
        ("country", ""),
        ("colo", ""),
        ("original_branch", "v1"),
    ];
    assert_eq!(texts, expected);
    let numbers: Vec<(&str, f64)> =
        DOUBLES.iter().zip(point.doubles).map(|((name, _), number)| (*name, number)).collect();
    let expected = [
        ("sample", 0.5),
        ("status", 504.0),
        ("duration_ms", 12.0),
        ("attempts", 2.0),
        ("bytes_in", 17.0),
        ("original_status", 200.0),
        ("original_duration_ms", 3.0),
    ];
    assert_eq!(numbers, expected);
    assert_eq!(point.index, "chat");
}

#[test]
fn a_point_is_within_the_limits_of_the_platform_whatever_clients_send() {
    let long = "\u{e9}".repeat(100_000);
    let asked = Asked { method: long.clone(), path: long.clone(), host: long.clone() };
    let route = "\u{20ac}".repeat(64);
    let record = Record { route: Some(&route), ..full() };
    let point = record.point(&asked, Share::WHOLE);
    assert_eq!(point.index.len(), 96);
    assert!(point.blobs.iter().map(|text| text.len()).sum::<usize>() < 4096);
    assert!(point.blobs.len() <= 20 && point.doubles.len() <= 20);
    let nobody = Record::new(Timestamp::from_millis(1), 404);
    assert_eq!(nobody.point(&asked, Share::WHOLE).index, "");
}
