//! What etcd asks of a server before it lets it in, and what a server asks of etcd.

use std::net::Ipv4Addr;
use std::path::Path;

use etcd_client::{ConnectOptions, Permission, PermissionType};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use crate::etcd::Etcd;
use crate::node::{KEY, Node};
use crate::process::{argument, splitway};

/// What it says when it does not start.
fn refusal(node: &Node, password: Option<&str>) -> String {
    let mut command = splitway();
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(node.options());
    command.env("SPLITWAY_ADMIN_KEY", KEY);
    if let Some(password) = password {
        command.env("SPLITWAY_STORE_PASSWORD", password);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    told
}

#[test]
fn a_later_format_is_refused_by_name() {
    let etcd = Etcd::start();
    let mut running = Node::start(&etcd.store());
    assert_eq!(running.put("r", "http://a.example").status, 201);
    let head = r#"{"format":7,"something":"else"}"#;
    etcd.ask(async |client| client.put("/splitway/head", head, None).await.unwrap());
    // One that runs goes on, and says why it does not follow.
    let lost = running.serving().line(|line| line.contains("store_lost"));
    assert!(lost.contains("version 7"), "{lost}");
    assert_eq!(running.revision(), Some(1));
    assert_eq!(running.put("s", "http://a.example").status, 503);

    let told = refusal(&Node::prepare(&etcd.store(), &[]), None);
    assert!(told.contains("version 7, this Splitway knows versions up to 1"), "{told}");
}

#[test]
fn a_user_needs_the_right_password() {
    let etcd = Etcd::start();
    etcd.ask(async |client| {
        let mut auth = client.auth_client();
        auth.user_add("root", "root-secret", None).await.unwrap();
        auth.user_grant_role("root", "root").await.unwrap();
        auth.user_add("gate", "gate-secret", None).await.unwrap();
        auth.role_add("gate").await.unwrap();
        let all = Permission::new(PermissionType::Readwrite, "/splitway/").with_prefix();
        auth.role_grant_permission("gate", all).await.unwrap();
        auth.user_grant_role("gate", "gate").await.unwrap();
        auth.auth_enable().await.unwrap();
    });
    let user = ["--store-user", "gate"];
    let told = refusal(&Node::prepare(&etcd.store(), &user), Some("wrong-secret"));
    assert!(told.contains("etcd does not let it in"), "{told}");
    assert!(!told.contains("wrong-secret"), "{told}");
    let told = refusal(&Node::prepare(&etcd.store(), &[]), None);
    assert!(told.contains("etcd does not let it in"), "{told}");
    let told = refusal(&Node::prepare(&etcd.store(), &user), None);
    assert!(told.contains("go together"), "{told}");
    let elsewhere = format!("{}/elsewhere", etcd.store());
    let told = refusal(&Node::prepare(&elsewhere, &user), Some("gate-secret"));
    assert!(told.contains("permission denied"), "{told}");

    let mut node = Node::prepare(&etcd.store(), &user).password("gate-secret");
    node.restart();
    assert_eq!(node.put("r", "http://a.example").status, 201);
    let root = ConnectOptions::new().with_user("root", "root-secret");
    let head = etcd.with(root, async |client| client.get("/splitway/head", None).await);
    assert_eq!(head.unwrap().kvs().len(), 1);
}

/// Certificates of an authority for etcd and for a client of it, and their keys, in files.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    std::fs::write(dir.join("ca.pem"), params.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, ca_key);
    for name in ["etcd", "client"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn etcd_over_tls_is_verified_and_may_ask_for_a_certificate() {
    let etcd = Etcd::start_with("https", |dir| {
        certificates(dir.path());
        let file = |name: &str| argument(&dir.path().join(name));
        let files = [("--cert-file", "etcd.pem"), ("--key-file", "etcd.key")];
        let files = files.into_iter().chain([("--trusted-ca-file", "ca.pem")]);
        let options = files.flat_map(|(option, name)| [option.to_owned(), file(name)]);
        options.chain(["--client-cert-auth".to_owned()]).collect()
    });
    let file = |name: &str| argument(&etcd.file(name));
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let own = ["--store-cert", &certificate, "--store-key", &key];
    let mut node = Node::prepare(&etcd.store(), &[&["--store-ca", &ca], &own[..]].concat());
    node.restart();
    node.await_writable();

    // Nobody vouches for it; that may pass, so that it starts.
    let mut wary = Node::prepare(&etcd.store(), &own);
    wary.restart();
    let warning = wary.serving().line(|line| line.starts_with("warning: "));
    assert!(warning.contains("invalid peer certificate"), "{warning}");
    assert_eq!(wary.put("r", "http://a.example").status, 503);

    let plain = etcd.store().replace("etcds", "etcd");
    let told = refusal(&Node::prepare(&plain, &["--store-ca", &ca]), None);
    assert!(told.contains("begin the address with etcds://"), "{told}");
}
