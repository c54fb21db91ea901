//! `splitway demo`.

use std::net::TcpListener;

use crate::process::run;

#[test]
fn a_hundred_requests_are_split_in_two_halves() {
    let output = run(&["demo", "--once"], "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    for branch in ["v1", "v2"] {
        let row = stdout.lines().find(|line| line.trim_start().starts_with(branch));
        let cells: Vec<&str> = row.expect("a row").split_whitespace().take(4).collect();
        assert_eq!(cells, [branch, "50", "50.0", "%"]);
    }
    assert!(stdout.contains("exactly 50/50"), "{stdout}");
}

#[test]
fn of_an_odd_number_one_half_has_one_more() {
    let output = run(&["demo", "--once", "--requests", "7"], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_port_that_is_taken_is_told_with_the_option_that_helps() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&["demo", "--once", "--listen", &address], "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("cannot listen on {address}: ")), "{stderr}");
    assert!(stderr.contains("--listen"), "{stderr}");
}
