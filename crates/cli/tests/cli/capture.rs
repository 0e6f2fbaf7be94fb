//! `capture`.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wire::pcap::{Reader, SNAPLEN_MAX, Writer};

use crate::agent::{Agent, Prepared, Reply};

const REQUEST: &str = "GET /v1/nics/web-1/-/capture";

fn pcap(frames: &[&[u8]]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), SNAPLEN_MAX).expect("a header");
    for frame in frames {
        writer
            .write(Duration::from_secs(1), frame)
            .expect("a record");
    }
    writer.into_inner()
}

fn agent_with(body: Vec<u8>) -> Agent {
    Prepared::default()
        .on(REQUEST, move |_| Reply::bytes(body.clone()))
        .start()
}

#[test]
fn to_a_file() {
    let body = pcap(&[&[1; 60], &[2; 1500]]);
    let agent = agent_with(body.clone());
    let file = agent.folder().join("out.pcap");
    let ran = agent.run([
        "capture".as_ref(),
        "web-1".as_ref(),
        "-w".as_ref(),
        file.as_os_str(),
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.stderr,
        format!("2 frames (1.5 KiB) in {}\n", file.display())
    );
    assert_eq!(std::fs::read(&file).expect("a file"), body);
}

#[test]
fn to_standard_output() {
    let body = pcap(&[&[0x41; 60]]);
    let agent = agent_with(body.clone());
    let ended = agent
        .clearway(["capture", "web-1", "-w", "-"])
        .output()
        .expect("it runs");
    assert_eq!((ended.status.code(), ended.stdout), (Some(0), body));
}

#[test]
fn a_terminal_gets_no_capture() {
    let agent = agent_with(pcap(&[]));
    let command = agent.clearway(["capture", "web-1", "-w", "-"]);
    let ran = crate::run::run_on_terminal(&command, "");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(agent.asked().is_empty());
}

#[test]
fn drops_only_is_handed_on() {
    let answer = |_: &_| Reply::bytes(pcap(&[]));
    let request = format!("{REQUEST}?dropsOnly=true");
    let agent = Prepared::default().on(&request, answer).start();
    let ran = agent.run(["capture", "web-1", "--drops-only", "-w", "/dev/null"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_nic_that_is_not_there_leaves_the_file_alone() {
    let agent = Prepared::default().start();
    let file = agent.folder().join("kept.pcap");
    std::fs::write(&file, "kept").expect("a file");
    let ran = agent.run([
        "capture".as_ref(),
        "web-1".as_ref(),
        "-w".as_ref(),
        file.as_os_str(),
    ]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert_eq!(std::fs::read(&file).expect("a file"), b"kept");
}

#[test]
fn ctrl_c_leaves_a_file_of_whole_records() {
    let mut body = pcap(&[&[1; 60], &[2; 60]]);
    let whole = body.len();
    body.extend_from_slice(&[0; 10]);
    let agent = Prepared::default()
        .on(REQUEST, move |_| Reply::bytes(body.clone()).without_end())
        .start();
    let file = agent.folder().join("out.pcap");
    let child = agent
        .clearway([
            "capture".as_ref(),
            "web-1".as_ref(),
            "-w".as_ref(),
            file.as_os_str(),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    wait_for_length(&file, whole);
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("a signal");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let bytes = std::fs::read(&file).expect("a file");
    assert_eq!(bytes.len(), whole);
    let mut frames = 0;
    let mut reader = Reader::new(&bytes).expect("a pcap file");
    while reader.next().transpose().expect("whole records").is_some() {
        frames += 1;
    }
    assert_eq!(frames, 2);
}

fn wait_for_length(file: &Path, length: usize) {
    let begun = Instant::now();
    loop {
        let found = std::fs::metadata(file)
            .map(|data| data.len())
            .unwrap_or_default();
        if found >= length as u64 {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{found} of {length} bytes came"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
