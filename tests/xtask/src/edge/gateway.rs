//! @portkey-ai/gateway, which is installed and bundled for this command alone.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::server::{Kind, Server};
use crate::setup::Kit;
use crate::step::{Outcome, say};

const PACKAGE: &str = "@portkey-ai/gateway";
const VERSION: &str = "1.15.2";

/// The files of tests/bench/edge that it is bundled from.
const FILES: [&str; 3] = ["gateway.mjs", "gateway-stubs.mjs", "gateway-timers.mjs"];

/// What it takes of Node.js and does not need here.
const STUBBED: [&str; 4] = ["@hono/node-server", "@hono/node-ws", "ws", "ioredis"];

/// The bundled gateway.
pub(super) struct Gateway;

/// Installs and bundles it, unless that was done, or says why that cannot be.
pub(super) fn ready(kit: &Kit, folder: &Path) -> Result<Gateway, String> {
    let folder = folder.join("gateway");
    if folder.join("bundle.mjs").exists() {
        return Ok(Gateway);
    }
    say(&format!("npm installs {PACKAGE} for comparison, in target/bench-edge"));
    let told = |error: std::io::Error| error.to_string();
    fs::create_dir_all(&folder).map_err(told)?;
    for file in FILES {
        fs::copy(kit.root.join("tests/bench/edge").join(file), folder.join(file)).map_err(told)?;
    }
    fs::write(folder.join("package.json"), r#"{"private": true}"#).map_err(told)?;
    let mut npm = kit.command("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
    npm.arg(format!("{PACKAGE}@{VERSION}"));
    quietly(npm.current_dir(&folder), "npm cannot install it")?;
    let mut esbuild = kit.command(kit.node_bin("esbuild"));
    esbuild.current_dir(&folder).args([
        "gateway.mjs",
        "--bundle",
        "--minify",
        "--format=esm",
        "--platform=node",
        "--target=esnext",
        "--conditions=workerd",
        "--outfile=bundle.mjs",
        "--inject:./gateway-timers.mjs",
        "--define:process.env.NODE_ENV=\"production\"",
        "--define:import.meta.url=\"file:///worker/\"",
        "--banner:js=import { createRequire } from \"node:module\"; const require = createRequire(\"/\");",
    ]);
    esbuild.args(STUBBED.map(|package| format!("--alias:{package}=./gateway-stubs.mjs")));
    quietly(&mut esbuild, "esbuild cannot bundle it")?;
    Ok(Gateway)
}

/// What clients tell it with each request: to split in halves.
pub(super) fn config(origin: SocketAddr) -> String {
    let target = |version: &str| {
        let to = format!(r#""custom_host": "http://{origin}/{version}", "weight": 0.5"#);
        format!(r#"{{"provider": "openai", "api_key": "a-key", {to}}}"#)
    };
    let targets = format!("{}, {}", target("v1"), target("v2"));
    format!(r#"{{"strategy": {{"mode": "loadbalance"}}, "targets": [{targets}]}}"#)
}

impl Gateway {
    /// Starts it, and says what it is called.
    pub(super) fn start(
        &self,
        kit: &Kit,
        folder: &Path,
        origin: SocketAddr,
    ) -> Outcome<(String, Server)> {
        let file = "gateway/bundle.mjs".to_owned();
        let kind = Kind::Bundle { file, path: "/v1/chat/completions" };
        let name = format!("{PACKAGE} {VERSION}, weighted loadbalance");
        Ok((name, Server::start(kit, folder, &kind, origin)?))
    }
}

fn quietly(command: &mut Command, why: &str) -> Result<(), String> {
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(why.to_owned()),
    }
}
