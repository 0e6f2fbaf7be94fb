//! The load generators, as benchmarks start them: separate processes that speak JSON.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(XTASK)
            .arg("load")
            .args(arguments)
            .args(["--bind", "127.0.0.1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let address = read_line(&mut stdout)["address"]
            .as_str()
            .unwrap()
            .to_owned();
        Self {
            child,
            stdout,
            address,
        }
    }

    fn finish(mut self) -> Value {
        drop(self.child.stdin.take());
        let report = read_line(&mut self.stdout);
        assert!(self.child.wait().unwrap().success());
        report
    }
}

fn read_line(out: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn client(server: &Server, arguments: &[&str]) -> Value {
    let output = Command::new(XTASK)
        .arg("load")
        .args(arguments)
        .args(["--to", &server.address, "--seconds", "0.15"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn round_trips_are_counted_and_ordered() {
    for transport in ["tcp", "udp"] {
        for waiting in ["block", "spin"] {
            let manner = ["--transport", transport, "--waiting", waiting];
            let server = Server::start(&[&["echo-server"][..], &manner].concat());
            let trips = client(&server, &[&["rr-client"][..], &manner].concat());
            let number = |key: &str| trips[key].as_f64().unwrap();
            assert!(number("count") >= 1.0, "{transport} {waiting}: {trips}");
            assert!(number("p50_ns") > 500.0, "{transport} {waiting}: {trips}");
            assert!(
                number("p50_ns") <= number("p99_ns"),
                "{transport} {waiting}: {trips}"
            );
            assert!(
                number("p99_ns") <= number("p999_ns"),
                "{transport} {waiting}: {trips}"
            );
            assert!(
                number("p999_ns") <= number("max_ns"),
                "{transport} {waiting}: {trips}"
            );
            let echoed = server.finish()["bytes"].as_f64().unwrap();
            assert!(
                echoed >= 64.0 * number("count"),
                "{transport} {waiting}: {echoed}"
            );
        }
    }
}

#[test]
fn datagrams_are_counted_at_both_ends() {
    let sink = Server::start(&["udp-sink"]);
    let sent = client(&sink, &["udp-blast", "--size", "18", "--greet"]);
    let received = sink.finish();
    let count = |report: &Value| report["datagrams"].as_u64().unwrap();
    assert!(count(&sent) > 0, "{sent}");
    assert!(
        count(&received) > 0 && count(&received) <= count(&sent),
        "{received} of {sent}"
    );
    assert_eq!(received["bytes"].as_u64().unwrap(), 18 * count(&received));
}

#[test]
fn connections_are_counted_at_both_ends() {
    let server = Server::start(&["accept-server"]);
    let opened = client(&server, &["connect-client", "--sockets", "4"]);
    let accepted = server.finish();
    assert!(opened["connections"].as_u64().unwrap() > 0, "{opened}");
    assert_eq!(opened["failures"], 0, "{opened}");
    assert_eq!(accepted["connections"], opened["connections"]);
}

#[test]
fn a_client_without_a_server_fails_and_says_so() {
    let output = Command::new(XTASK)
        .args([
            "load",
            "rr-client",
            "--transport",
            "tcp",
            "--waiting",
            "block",
        ])
        .args(["--to", "127.0.0.1:1", "--seconds", "0.1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "));
}

#[test]
fn a_request_too_small_for_its_number_is_refused() {
    let server = Server::start(&["echo-server", "--transport", "udp", "--waiting", "block"]);
    let output = Command::new(XTASK)
        .args([
            "load",
            "rr-client",
            "--transport",
            "udp",
            "--waiting",
            "block",
            "--size",
            "7",
        ])
        .args(["--to", &server.address, "--seconds", "0.1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    server.finish();
}
