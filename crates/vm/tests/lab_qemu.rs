//! The arguments and the control protocol against QEMU itself.

use std::fs::OpenOptions;
use std::io::Write;
use std::num::{NonZeroU16, NonZeroU32};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use vm::machine::{Accelerator, Machine};
use vm::qemu;
use vm::qmp::{Client, ClientError};

const LIMIT: Duration = Duration::from_secs(60);

/// Ends with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_before = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Whether QEMU is there; that it is not is told, and noted for whoever runs the tests.
fn has_qemu(test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(qemu::PROGRAM).is_file()) {
        return true;
    }
    let reason = format!("there is no {}", qemu::PROGRAM);
    eprintln!("skipped, because {reason}");
    if let Some(journal) = std::env::var_os("CLEARWAY_SKIPPED_FILE") {
        let file = OpenOptions::new().create(true).append(true).open(journal);
        file.and_then(|mut file| writeln!(file, "{test}\t{reason}"))
            .unwrap();
    }
    false
}

fn connect(machine: &Machine) -> Client {
    let start = Instant::now();
    loop {
        match Client::connect(&machine.control, LIMIT) {
            Ok(client) => return client,
            // Not listening yet.
            Err(ClientError::Socket(_)) if start.elapsed() < LIMIT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("QEMU's control socket: {error}"),
        }
    }
}

#[test]
fn lab_qemu_takes_the_arguments_and_does_as_it_is_told() {
    if !has_qemu("lab_qemu_takes_the_arguments_and_does_as_it_is_told") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine {
        name: "a,strange=name".to_owned(),
        processors: NonZeroU16::MIN,
        memory_mib: NonZeroU32::new(64).unwrap(),
        accelerator: Accelerator::Tcg,
        boot: None,
        nics: vec![],
        control: folder.path().join("control,socket"),
    };
    let child = Command::new(qemu::PROGRAM)
        .args(qemu::arguments(&machine))
        .arg("-S")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("QEMU starts");
    let mut running = Running(child);

    let mut client = connect(&machine);
    assert!(client.version() >= [7, 0, 0], "{:?}", client.version());
    let status = client.execute("query-status", &json!({}), LIMIT).unwrap();
    assert_eq!(status["running"], json!(false));
    let name = client.execute("query-name", &json!({}), LIMIT).unwrap();
    assert_eq!(name["name"], json!("a,strange=name"));

    let gone = client.execute("device_del", &json!({ "id": "nic0-vf" }), LIMIT);
    let Err(ClientError::Refused(refusal)) = gone else {
        panic!("{gone:?}");
    };
    assert_eq!(refusal.class, "DeviceNotFound");

    client.execute("cont", &json!({}), LIMIT).unwrap();
    let resumed = client.wait_for(LIMIT, |event| event.name == "RESUME");
    assert_eq!(resumed.unwrap().name, "RESUME");
    client.execute("quit", &json!({}), LIMIT).unwrap();
    assert!(running.0.wait().unwrap().success());
}
