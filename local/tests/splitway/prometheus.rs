//! A real Prometheus scrapes a server and answers what the dashboard asks.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply};
use splitway_tests::wire;

use crate::metrics::{everything, measured, queries};
use crate::process::{Files, PATIENCE, argument, origin};

/// A Prometheus with its own directory; it is killed when the test is done with it.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _files: Files,
}

impl Prometheus {
    /// Starts one that scrapes `target` five times a second.
    fn start(target: SocketAddr) -> Self {
        let files = Files::new();
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs:\n  - job_name: splitway\n    static_configs: [{{targets: [\"{target}\"]}}]\n"
        );
        let config = files.write("prometheus.yml", &config);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={config}"));
        command.arg(format!("--storage.tsdb.path={}", argument(&files.path("data"))));
        command.arg(format!("--web.listen-address={address}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let spawned = command.spawn();
        let child = spawned.expect("prometheus runs: `cargo xtask setup` installs it");
        let prometheus = Self { child, address, _files: files };
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }

    /// The series that a query has now.
    fn ask(&self, query: &str) -> Vec<Value> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let call = Call::get(&format!("/api/v1/query?query={escaped}"));
        let answer = wire::call(self.address, &call);
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// The value of the series whose branch is this.
    fn value(&self, query: &str, branch: &str) -> Option<f64> {
        let series = self.ask(query);
        let own = series.iter().find(|series| series["metric"]["branch"] == branch)?;
        own["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_tells_shares_and_times_by_branch() {
    let slow = Act::from(Reply::ok("two")).late(Duration::from_millis(80));
    let (v1, v2, files) = (origin("one"), Origin::on_loopback(slow.into()), Files::new());
    let serving = measured(&files, &everything(&v1, &v2));
    let prometheus = Prometheus::start(serving.metrics.expect("there are metrics"));
    let (share, p99) = {
        let rate = "rate(splitway_picks_total{route=\"chat\"}[1m])";
        let share =
            format!("sum by (branch) ({rate}) / ignoring (branch) group_left () sum ({rate})");
        let bucket = "rate(splitway_time_to_head_seconds_bucket{route=\"chat\"}[1m])";
        (share, format!("histogram_quantile(0.99, sum by (le, branch) ({bucket}))"))
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        (0..8).for_each(|_| assert_eq!(serving.get("/chat").status, 200));
        let told = (prometheus.value(&share, "v1"), prometheus.value(&p99, "v2"));
        if let (Some(share), Some(p99)) = told
            && (share - 0.75).abs() < 0.05
            && (0.07..0.2).contains(&p99)
        {
            break;
        }
        assert!(Instant::now() < deadline, "{told:?}");
    }
    let of_apisix = "sum by (branch) (rate(apisix_http_status{code=\"200\"}[1m]))";
    assert!(prometheus.value(of_apisix, "v1").is_some_and(|rate| rate > 0.0));
    let latency = "histogram_quantile(0.5, sum by (le, branch) (rate(apisix_http_latency_bucket{type=\"upstream\"}[1m])))";
    assert!(prometheus.value(latency, "v2").is_some_and(|ms| (70.0..200.0).contains(&ms)));
    let target = "max by (branch) (splitway_share_configured)";
    assert_eq!(prometheus.value(target, "v1"), Some(0.75));
    assert_eq!(prometheus.ask("up")[0]["value"][1], "1");
    // The dashboard's own queries are sound.
    for query in queries() {
        let query = query.replace("$__rate_interval", "1m").replace("$route", ".*");
        prometheus.ask(&query);
    }
}
