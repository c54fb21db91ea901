//! An etcd that is away: at the start, later, and while much happens.

use etcd_client::CompactionOptions;
use splitway_tests::message::Call;

use crate::etcd::Etcd;
use crate::node::{Node, await_that};
use crate::process::origin;
use crate::relay::Relay;

#[test]
fn a_server_starts_with_the_last_good_configuration_and_recovers() {
    let mut etcd = Etcd::start();
    let upstream = origin("one");
    let to = format!("http://{}", upstream.authority());
    let mut node = Node::start(&etcd.store());
    assert_eq!(node.put("r", &to).status, 201);
    node.await_kept(1);
    node.kill();
    etcd.kill();

    node.restart();
    let warning = node.serving().line(|line| line.starts_with("warning: "));
    assert!(warning.contains("revision 1 of last-good.json serves"), "{warning}");
    assert!(warning.contains("etcd cannot be reached"), "{warning}");
    assert_eq!((node.get("/r").body, node.revision()), (b"one".to_vec(), Some(1)));
    for call in [Call::get("/splitway/v1/config"), Call::new("DELETE", "/apisix/admin/routes/r")] {
        let refused = node.ask(call);
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains("etcd cannot be reached"), "{}", refused.text());
    }

    etcd.restart();
    node.serving().line(|line| line.contains("store_reached"));
    assert_eq!(node.get("/r").body, b"one");
    assert_eq!(node.put("s", &to).status, 201);
    assert_eq!((node.get("/s").body, node.revision()), (b"one".to_vec(), Some(2)));
}

#[test]
fn a_server_starts_with_nothing_and_recovers() {
    let mut etcd = Etcd::absent();
    let mut node = Node::start(&etcd.store());
    let warning = node.serving().line(|line| line.starts_with("warning: "));
    assert!(warning.contains("every request is answered 503"), "{warning}");
    let answer = node.get("/r");
    assert_eq!(
        (answer.status, &answer.json()["title"]),
        (503, &"No configuration is loaded".into())
    );
    assert_eq!(node.put("r", "http://a.example").status, 503);

    etcd.restart();
    node.serving().line(|line| line.contains("store_reached"));
    assert_eq!(node.get("/r").status, 404);
    assert_eq!(node.put("r", "http://a.example").status, 201);
}

#[test]
fn serving_goes_on_when_etcd_goes_away() {
    let mut etcd = Etcd::start();
    let upstream = origin("one");
    let to = format!("http://{}", upstream.authority());
    let mut node = Node::start(&etcd.store());
    assert_eq!(node.put("r", &to).status, 201);
    etcd.kill();
    node.serving().line(|line| line.contains("store_lost"));
    assert_eq!(node.get("/r").body, b"one");
    let refused = node.put("s", &to);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("etcd cannot be reached"), "{}", refused.text());
    // What is known is still told.
    assert_eq!(node.document().1, 1);
    assert_eq!(node.get("/s").status, 404);
    assert_eq!(node.ask(Call::get("/splitway/v1/revisions")).status, 503);
    etcd.restart();
    node.await_writable();
    assert_eq!(node.get("/r").body, b"one");
}

#[test]
fn a_server_that_was_cut_off_catches_up_after_a_compaction() {
    let etcd = Etcd::start();
    let relay = Relay::to(etcd.port());
    let a = Node::start(&etcd.store());
    let mut b = Node::start(&relay.store());
    assert_eq!(a.put("r0", "http://a.example").status, 201);
    b.await_revision(1);
    relay.cut();
    b.serving().line(|line| line.contains("store_lost"));
    // More than the log keeps for one that is behind, and a new base.
    for number in 1..=250 {
        assert_eq!(a.put(&format!("r{number}"), "http://a.example").status, 201);
    }
    etcd.ask(async |client| {
        let now = client.get("/splitway/head", None).await.unwrap();
        let revision = now.header().unwrap().revision();
        let options = CompactionOptions::new().with_physical();
        client.compact(revision, Some(options)).await.unwrap();
    });
    assert_eq!(b.revision(), Some(1));
    relay.mend();
    b.await_revision(251);
    assert_eq!(a.document(), b.document());
    assert!(b.put("back", "http://a.example").status < 300);
    a.await_revision(252);
}

#[test]
fn a_member_that_is_dead_is_passed_over() {
    let (etcd, dead) = (Etcd::start(), Etcd::absent());
    let members = [dead.port(), etcd.port()].map(|port| format!("127.0.0.1:{port}"));
    let a = Node::start(&format!("etcd://{}/elsewhere", members.join(",")));
    let b = Node::start(&format!("{}/elsewhere", etcd.store()));
    for number in 1..=20 {
        assert_eq!(a.put(&format!("r{number}"), "http://a.example").status, 201);
        b.await_revision(number);
    }
    assert_eq!(etcd.keys("/splitway").len(), 0);
    assert_eq!(etcd.keys("/elsewhere/log").len(), 20);
}

#[test]
fn a_store_that_was_emptied_is_begun_anew() {
    let etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    assert_eq!(a.put("r", "http://a.example").status, 201);
    b.await_revision(1);
    let options = etcd_client::DeleteOptions::new().with_prefix();
    etcd.ask(async |client| client.delete("/splitway", Some(options)).await.unwrap());
    await_that("both are empty", || {
        [&a, &b].iter().all(|node| node.document().1 == 0 && node.revision() == Some(0))
    });
    assert_eq!(b.put("s", "http://a.example").status, 201);
    a.await_revision(1);
    assert_eq!(a.document(), b.document());
}
