//! nginx: `split_clients` draws a version by the id of the request, `proxy_pass` rewrites.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::certificates;
use crate::setup::{Setup, TARGETS, Target, World, key, tenant};

/// How it is started; `more` is put into its server.
pub(crate) fn command(
    setup: &Setup,
    world: &World,
    at: SocketAddr,
    name: &str,
    more: &str,
) -> io::Result<Vec<String>> {
    let folder = world.folder.join(name);
    fs::create_dir_all(&folder)?;
    let config = folder.join("nginx.conf");
    fs::write(&config, configuration(setup, world, at, &folder, more))?;
    let prefix = folder.to_string_lossy().into_owned();
    let config = config.to_string_lossy().into_owned();
    Ok(["nginx", "-p", &prefix, "-c", &config].map(str::to_owned).to_vec())
}

fn configuration(
    setup: &Setup,
    world: &World,
    at: SocketAddr,
    folder: &Path,
    more: &str,
) -> String {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let user = if is_root { "user root;" } else { "" };
    let folder = folder.display();
    let (http, server) = (http(setup), server(setup, world));
    let origin = if setup.origin_tls { world.secure } else { world.plain };
    let tls = if setup.client_tls { " ssl http2" } else { "" };
    let mut text = format!(
        "{user} worker_processes 1; daemon off; error_log stderr crit; pid {folder}/pid;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 1h; client_max_body_size 2m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream origin {{
    server {origin} {fails}; keepalive 512; keepalive_requests 100000000;
  }}
{http}
  server {{
    listen {at}{tls} reuseport;
    proxy_http_version 1.1; proxy_set_header Connection \"\";
    {server}
    {more}
",
        fails = if setup.everything { "max_fails=5 fail_timeout=5s" } else { "" },
    );
    let scheme = if setup.origin_tls { "https" } else { "http" };
    let mut location = |path: &str, target: Target| {
        let to = format!("{scheme}://origin/v$version{}", target.path());
        // A string takes whatever is written to it.
        let _ = writeln!(text, "    location = {path} {{ proxy_pass {to}; }}");
    };
    TARGETS.iter().for_each(|target| location(target.path(), *target));
    (0..setup.routes).for_each(|number| location(&tenant(number), Target::Chat));
    text.push_str("  }\n}\n");
    text
}

/// What stands outside of the server: who gets which version, whose key is good, how much is too much.
fn http(setup: &Setup) -> String {
    let by = if setup.sticky { "$http_x_user" } else { "$request_id" };
    let mut text = format!("  split_clients \"{by}\" $version {{");
    #[expect(clippy::cast_precision_loss, reason = "there are 20 at most")]
    let share = 100.0 / setup.branches as f64;
    for version in 1..setup.branches {
        let _ = write!(text, " {share:.2}% {version};");
    }
    let _ = writeln!(text, " * {}; }}", setup.branches);
    if setup.consumers > 0 {
        text.push_str("  map_hash_max_size 65536; map_hash_bucket_size 128;\n");
        text.push_str("  map $http_apikey $consumer { default \"\";\n");
        for number in 0..setup.consumers {
            let _ = writeln!(text, "    {} c{number};", key(number));
        }
        text.push_str("  }\n");
    }
    if setup.everything {
        text.push_str(
            "  limit_req_zone $binary_remote_addr zone=rate:10m rate=1000000r/s;
  limit_conn_zone $binary_remote_addr zone=conn:10m;\n",
        );
    }
    text
}

/// What stands in the server before the locations.
fn server(setup: &Setup, world: &World) -> String {
    let mut text = String::new();
    if setup.client_tls {
        let _ = writeln!(
            text,
            "ssl_certificate {}; ssl_certificate_key {};",
            certificates::certificate(&world.folder).display(),
            certificates::key(&world.folder).display()
        );
    }
    if setup.origin_tls {
        let _ = writeln!(
            text,
            "proxy_ssl_server_name on; proxy_ssl_name {}; proxy_ssl_verify on; \
             proxy_ssl_trusted_certificate {};",
            certificates::ORIGIN,
            certificates::authority(&world.folder).display()
        );
    }
    if setup.consumers > 0 {
        text.push_str("if ($consumer = \"\") { return 401; }\n");
    }
    if setup.everything {
        text.push_str(
            "limit_req zone=rate burst=1000000 nodelay; limit_conn conn 5000;
    add_header x-request-id $request_id; add_header x-version-picked $version;\n",
        );
    }
    text
}
