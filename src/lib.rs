//! The Worker shell.

use worker::{Context, Env, Result, event};

#[event(fetch)]
async fn fetch(_: worker::Request, env: Env, _: Context) -> Result<worker::Response> {
    let text = env.kv("SPLITWAY")?.get("config").text().await?;
    worker::Response::ok(text.unwrap_or_default())
}
