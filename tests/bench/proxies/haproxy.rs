//! HAProxy: a version is drawn at random, `set-path` rewrites.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;

use crate::certificates;
use crate::setup::{Setup, TARGETS, World, key, tenant};

/// How it is started; `more` is put into its defaults.
pub(crate) fn command(
    setup: &Setup,
    world: &World,
    at: SocketAddr,
    name: &str,
    more: &str,
) -> io::Result<Vec<String>> {
    let folder = world.folder.join(name);
    fs::create_dir_all(&folder)?;
    let list = |lines: Vec<String>| format!("{}\n", lines.join("\n"));
    fs::write(folder.join("routes"), list((0..setup.routes).map(tenant).collect()))?;
    fs::write(folder.join("keys"), list((0..setup.consumers).map(key).collect()))?;
    let config = folder.join("haproxy.cfg");
    fs::write(&config, configuration(setup, world, at, name, more))?;
    Ok(["haproxy", "-db", "-f", &config.to_string_lossy()].map(str::to_owned).to_vec())
}

fn configuration(setup: &Setup, world: &World, at: SocketAddr, name: &str, more: &str) -> String {
    let tls = if setup.client_tls {
        format!(" ssl crt {} alpn h2,http/1.1", certificates::both(&world.folder).display())
    } else {
        String::new()
    };
    let (frontend, server) =
        (frontend(setup, &world.folder.join(name).to_string_lossy()), server(setup, world));
    format!(
        "global
  nbthread 1
  ca-base {folder}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  {more}
frontend in
  bind {at}{tls}
{frontend}  default_backend origin
backend origin
  http-reuse always
{server}
",
        folder = world.folder.display()
    )
}

/// Who may pass, and the draw. All is decided before the path is changed.
fn frontend(setup: &Setup, folder: &str) -> String {
    let mut text = String::new();
    if setup.everything {
        text.push_str(
            "  stick-table type ip size 100k expire 1m store http_req_rate(1s),conn_cur
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }
  http-request deny deny_status 429 if { sc_conn_cur(0) gt 5000 }
  unique-id-format %[uuid()]
  http-response set-header x-request-id %[unique-id]
  http-response set-header x-version-picked %[var(txn.version)]\n",
        );
    }
    if setup.consumers > 0 {
        let _ = writeln!(
            text,
            "  http-request deny deny_status 401 unless {{ req.hdr(apikey) -m str -f {folder}/keys }}"
        );
    }
    let known: Vec<&str> = TARGETS.iter().map(|target| target.path()).collect();
    let _ = writeln!(text, "  acl known path {}", known.join(" "));
    let count = setup.branches;
    let drawn = if setup.sticky {
        format!("req.hdr(x-user),xxh32,mod({count}),add(1)")
    } else {
        format!("rand({count}),add(1)")
    };
    let _ = writeln!(text, "  http-request set-var(txn.version) {drawn}");
    let version = "/v%[var(txn.version)]";
    if setup.routes == 0 {
        let _ = writeln!(text, "  http-request deny deny_status 404 unless known");
        let _ = writeln!(text, "  http-request set-path {version}%[path]");
    } else {
        let _ = writeln!(text, "  acl tenant path -f {folder}/routes");
        let _ = writeln!(text, "  http-request deny deny_status 404 unless known or tenant");
        let chat = "/chat/completions";
        let _ = writeln!(text, "  http-request set-path {version}{chat}");
    }
    text
}

fn server(setup: &Setup, world: &World) -> String {
    if setup.origin_tls {
        let (at, name) = (world.secure, certificates::ORIGIN);
        let ca = certificates::authority(&world.folder);
        format!(
            "  server one {at} ssl verify required ca-file {} sni str({name}) verifyhost {name}",
            ca.display()
        )
    } else {
        format!("  server one {}", world.plain)
    }
}
