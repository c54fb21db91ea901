//! The file of the ledger: of other versions, damaged, in use.

use std::path::Path;

use rusqlite::Connection;
use serde_json::json;

use crate::api::{labels, route, serving};
use crate::process::{Files, argument, origin, run};

/// What is said by a server that does not start.
fn refusal(dir: &Path) -> String {
    let dir = argument(dir);
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let output = run(&[&["serve", "--data-dir", &dir], &listen[..]].concat(), "");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    stderr
}

fn data_dir(files: &Files) -> std::path::PathBuf {
    let dir = files.path("data");
    std::fs::create_dir(&dir).expect("a directory");
    dir
}

#[test]
fn the_tables_of_a_later_version_are_refused_by_their_name() {
    let files = Files::new();
    let dir = data_dir(&files);
    drop(serving(&dir));
    let database = Connection::open(dir.join("splitway.db")).expect("a database");
    database.execute_batch("UPDATE meta SET schema = 99; CREATE TABLE later (x)").expect("changed");
    drop(database);
    let before = std::fs::read(dir.join("splitway.db")).expect("a file");
    let told = refusal(&dir);
    let file = dir.join("splitway.db");
    let expected = format!(
        "the database {} cannot be used: its tables have version 99, this Splitway knows versions up \
         to 2",
        file.display()
    );
    assert!(told.contains(&expected), "{told}");
    assert_eq!(std::fs::read(&file).expect("a file"), before, "it is left alone");
}

#[test]
fn a_damaged_file_is_refused_by_its_name() {
    let files = Files::new();
    let dir = data_dir(&files);
    let sound = serving(&dir);
    for number in 0..40 {
        let mut route = route("/r", "127.0.0.1:1");
        route["labels"] = labels(2000);
        assert_eq!(
            sound.send("PUT", &format!("/apisix/admin/routes/{number}"), &route).status,
            201
        );
    }
    sound.signal("TERM");
    assert!(sound.end().success());
    let file = dir.join("splitway.db");
    let whole = std::fs::read(&file).expect("a file");
    let garbage: Vec<u8> =
        (0..whole.len()).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    let mut header = whole.clone();
    header[..16].copy_from_slice(&garbage[..16]);
    let mut page = whole.clone();
    page[4096..].fill(0xff);
    for (name, bytes) in [
        ("no database at all", garbage),
        ("another header", header),
        ("a page overwritten", page),
        ("the first half", whole[..whole.len() / 2].to_vec()),
        ("the first page", whole[..4096].to_vec()),
        ("less than a header", whole[..50].to_vec()),
    ] {
        for leftover in ["splitway.db-wal", "splitway.db-shm"] {
            drop(std::fs::remove_file(dir.join(leftover)));
        }
        std::fs::write(&file, &bytes).expect("written");
        let told = refusal(&dir);
        assert!(
            told.contains(&format!("the database {} cannot be used", file.display())),
            "{name}: {told}"
        );
        let why = ["not a database", "malformed", "cannot read"];
        assert!(why.iter().any(|why| told.contains(why)), "{name}: {told}");
    }
    std::fs::write(&file, &whole).expect("written");
    assert_eq!(serving(&dir).config().1, 40, "the whole file is taken again");
}

/// As the first version made them, byte for byte, with its journal.
const FIRST_TABLES: &str = "
    PRAGMA journal_mode = DELETE;
    CREATE TABLE resources (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        value TEXT NOT NULL,
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE meta (revision INTEGER NOT NULL) STRICT;
    INSERT INTO meta (revision) VALUES (0);
    PRAGMA user_version = 1;
";

#[test]
fn a_ledger_of_the_first_version_is_taken_over_whole() {
    let files = Files::new();
    let dir = data_dir(&files);
    let (one, two) = (origin("one"), origin("two"));
    let database = Connection::open(dir.join("splitway.db")).expect("a database");
    database.execute_batch(FIRST_TABLES).expect("made");
    for (id, upstream, created, modified) in [("z", &one, 1, 6), ("a", &two, 4, 4)] {
        let mut value = route("/r", upstream.authority());
        value["id"] = json!(id);
        value["create_time"] = json!(1_700_000_000);
        value["update_time"] = json!(1_700_000_100);
        let values = (id, value.to_string(), created, modified);
        let insert = "INSERT INTO resources VALUES ('routes', ?1, ?2, ?3, ?4)";
        database.execute(insert, values).expect("written");
    }
    database.execute("UPDATE meta SET revision = 7", ()).expect("written");
    drop(database);

    for start in 0..2 {
        let serving = serving(&dir);
        let read = serving.ask("GET", "/apisix/admin/routes/z").json();
        assert_eq!((&read["createdIndex"], &read["modifiedIndex"]), (&json!(1), &json!(6)));
        assert_eq!(read["value"]["create_time"], 1_700_000_000);
        assert_eq!(read["value"]["update_time"], 1_700_000_100);
        let (document, revision) = serving.config();
        let ids: Vec<_> = document["routes"].as_array().expect("a list").iter().collect();
        assert_eq!([&ids[0]["id"], &ids[1]["id"]], ["z", "a"], "the order of their making");
        assert_eq!(revision, 7 + start);
        // The older of two equal routes serves.
        let served = serving.get("/r");
        assert_eq!(
            (served.text(), served.revision()),
            ("one".to_owned(), Some(revision.to_string()))
        );
        let added = serving.send("POST", "/apisix/admin/routes", &route("/new", one.authority()));
        assert_eq!(added.status, 201, "{}", added.text());
        let id = added.json()["value"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(id, format!("{:020}", 8 + start));
        let list = serving.ask("GET", "/splitway/v1/revisions").json();
        assert_eq!(list["revisions"].as_array().map(|it| it.len() as u64), Some(1 + start));
        assert_eq!(serving.ask("GET", "/splitway/v1/revisions/7").status, 410);
        serving.kill();
    }
}

/// Started at the same time, one has the ledger and the other says why it does not.
#[test]
fn of_two_that_start_at_once_one_has_the_ledger() {
    let files = Files::new();
    for round in 0..10 {
        let dir = argument(&files.path(&format!("data{round}")));
        let start = || {
            let mut command = crate::process::splitway();
            command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
            command.args(["--data-dir", &dir]).stderr(std::process::Stdio::piped());
            command.spawn().expect("splitway runs")
        };
        let mut both = [start(), start()];
        let ended = loop {
            let ended = both.iter_mut().position(|it| it.try_wait().expect("a child").is_some());
            if let Some(ended) = ended {
                break ended;
            }
            std::thread::yield_now();
        };
        let [first, second] = both;
        let (ended, mut other) = if ended == 0 { (first, second) } else { (second, first) };
        let output = ended.wait_with_output().expect("it ended");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("splitway.db cannot be used: another process uses it"), "{told}");
        assert!(other.try_wait().expect("a child").is_none(), "the other one serves");
        other.kill().expect("it runs");
        other.wait().expect("it ends");
    }
}

/// What an earlier version took and this one does not stands in the way of no repair: one after the
/// other can be put right, and then all of it serves.
#[test]
fn a_ledger_with_faults_is_put_right_piece_by_piece() {
    let files = Files::new();
    let dir = data_dir(&files);
    let upstream = origin("one");
    let good = route("/r", upstream.authority());
    let first = serving(&dir);
    for id in ["a", "b", "c"] {
        assert_eq!(first.send("PUT", &format!("/apisix/admin/routes/{id}"), &good).status, 201);
    }
    first.kill();
    let database = Connection::open(dir.join("splitway.db")).expect("a database");
    let spoil = r#"UPDATE resources SET value = json_set(value, '$.labels', json('{"team":"a b"}'))
        WHERE id IN ('a', 'b')"#;
    assert_eq!(database.execute(spoil, ()).expect("changed"), 2);
    drop(database);

    let mut serving = serving(&dir);
    assert_eq!(serving.get("/r").status, 503);
    for write in [
        serving.send("PUT", "/apisix/admin/routes/d", &good),
        serving.send("PATCH", "/apisix/admin/routes/a", &json!({"desc": "still with its label"})),
    ] {
        assert_eq!(write.status, 400, "{}", write.text());
    }
    let labels = serving.send("PATCH", "/apisix/admin/routes/a", &json!({"labels": null}));
    assert_eq!(labels.status, 200, "{}", labels.text());
    assert_eq!(serving.get("/r").status, 503);
    let deleted = serving.ask("DELETE", "/apisix/admin/routes/b");
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let served = serving.get("/r");
    assert_eq!((served.text(), served.revision()), ("one".to_owned(), Some("5".to_owned())));
    let told = serving.told();
    for place in ["/routes/0/labels/team", "/routes/1/labels/team"] {
        assert!(told.contains(place), "{told}");
    }
}
