//! `splitway serve`: a server until somebody asks it to end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use splitway_core::admin::PAGE;
use splitway_local::fleet::Footing;
use splitway_local::server::Source;
use splitway_local::{ServeOptions, Server, StartError, key_path};

use super::{Requests, report};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the environment alone can say.
pub(crate) const AFTER_HELP: &str = "\
Environment:
  SPLITWAY_ADMIN_KEY       The key of the Admin API [default: made once, kept in DIR/admin.key]
  SPLITWAY_SECRET          What cookies and override tokens are signed with, from 16 bytes
  SPLITWAY_STORE_PASSWORD  The password of --store-user

The first Ctrl-C or SIGTERM lets requests finish for up to --drain-time, the second ends at once.
SIGHUP has the certificate and its key read, and the file of the access log opened, again.";

/// Serves until the first signal, drains until the second or until the time is up.
pub(crate) fn run(mut options: ServeOptions) -> ExitCode {
    // What is not UTF-8 is refused for what it becomes here.
    let key = std::env::var_os("SPLITWAY_ADMIN_KEY");
    options.admin_key = key.map(|key| key.to_string_lossy().into_owned());
    options.secret = std::env::var("SPLITWAY_SECRET").ok();
    options.store.password = std::env::var("SPLITWAY_STORE_PASSWORD").ok();
    let mut out = anstream::stderr();
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::System)
        .and_then(|runtime| runtime.block_on(serve(options, &mut out)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Without standard error there is only the exit code to tell it.
            let _ = report::start_error(&mut out, &failure);
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: ServeOptions, out: &mut impl Write) -> Result<(), StartError> {
    // Whoever reads where it listens may end it at once.
    let mut requests = Requests::new().map_err(StartError::System)?;
    let mut hangups = signal(SignalKind::hangup()).map_err(StartError::System)?;
    let server = Server::start(options.clone())?;
    let _ = introduce(out, &server, &options);
    tokio::select! {
        () = requests.next() => {}
        () = hang_up_at(&mut hangups, &server) => {}
    }
    server.drain();
    tokio::select! {
        () = server.drained() => {}
        () = within(options.clients.drain_time) => {}
        () = requests.next() => {}
    }
    server.stop();
    Ok(())
}

/// Waits for so long; of no time, for ever.
async fn within(time: Duration) {
    match time.is_zero() {
        true => std::future::pending().await,
        false => tokio::time::sleep(time).await,
    }
}

/// Has the certificate read and the access log opened again at each `SIGHUP`. Without either the signal is
/// taken for nothing: files are read again when they change, and whoever asks for that anyway does not mean
/// the end.
async fn hang_up_at(hangups: &mut Signal, server: &Server) {
    while hangups.recv().await.is_some() {
        server.hang_up();
    }
    std::future::pending().await
}

/// Says where the server is to be found and where its configuration comes from.
fn introduce(out: &mut impl Write, server: &Server, options: &ServeOptions) -> io::Result<()> {
    writeln!(out, "splitway {}", env!("CARGO_PKG_VERSION"))?;
    let scheme = if server.reload().is_some() { "https" } else { "http" };
    writeln!(out, "  traffic        {scheme}://{}", server.listen_addr())?;
    introduce_source(out, server, options)?;
    match server.metrics_addr() {
        Some(address) => writeln!(out, "  metrics        http://{address}/metrics")?,
        None if options.metrics_listen.is_none() => {
            writeln!(out, "  metrics        off, because 127.0.0.1:9091 is taken")?;
        }
        None => writeln!(out, "  metrics        off")?,
    }
    if server.lacks_secret() {
        report::warning(
            out,
            "SPLITWAY_SECRET is not set: no cookie is issued and no token taken, as this configuration asks for",
        )?;
    }
    Ok(())
}

fn introduce_source(
    out: &mut impl Write,
    server: &Server,
    options: &ServeOptions,
) -> io::Result<()> {
    match (server.source(), server.admin_addr()) {
        (Source::File(path), _) => {
            let path = path.display();
            writeln!(out, "  configuration  {path}, read again when it changes")?;
            writeln!(out, "  admin API      off, because the configuration is a file")
        }
        (Source::Ledger(path), Some(address)) => {
            writeln!(out, "  configuration  {}, written by the admin API", path.display())?;
            introduce_admin(out, address, server, options)
        }
        (Source::Fleet(store, footing), Some(address)) => {
            writeln!(out, "  configuration  {store}, written by the admin API of every server")?;
            introduce_admin(out, address, server, options)?;
            introduce_footing(out, footing)
        }
        (Source::Ledger(_) | Source::Fleet(..) | Source::Document, _) => Ok(()),
    }
}

fn introduce_admin(
    out: &mut impl Write,
    address: SocketAddr,
    server: &Server,
    options: &ServeOptions,
) -> io::Result<()> {
    writeln!(out, "  admin API      http://{address}/apisix/admin")?;
    writeln!(out, "  page           http://{address}{PAGE}/")?;
    match options.admin_key {
        Some(_) => writeln!(out, "  admin key      from SPLITWAY_ADMIN_KEY")?,
        None => {
            let path = key_path(&options.data_dir);
            writeln!(out, "  admin key      in {}", path.display())?;
        }
    }
    let mut flaws = server.key_flaws().iter();
    flaws.try_for_each(|flaw| report::warning(out, &flaw.to_string()))
}

/// Says what serves while etcd is away.
fn introduce_footing(out: &mut impl Write, footing: &Footing) -> io::Result<()> {
    match footing {
        Footing::Ledger => Ok(()),
        Footing::LastGood(revision, why) => report::warning(
            out,
            &format!("{why}; meanwhile revision {revision} of last-good.json serves"),
        ),
        Footing::Nothing(why) => {
            report::warning(out, &format!("{why}; meanwhile every request is answered 503"))
        }
    }
}
