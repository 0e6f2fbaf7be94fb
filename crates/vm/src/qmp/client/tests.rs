use std::io::{BufRead, BufReader};
use std::thread;

use serde_json::json;

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

/// A monitor that says its lines, each after it was told something; the first at once.
fn monitor(mut stream: UnixStream, lines: &'static [&'static str]) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut commands = BufReader::new(stream.try_clone().unwrap()).lines();
        for line in lines {
            stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
            if commands.next().is_none() {
                return;
            }
        }
    })
}

const OPENING: [&str; 2] = [
    r#"{"QMP": {"version": {"qemu": {"micro": 0, "minor": 1, "major": 9}, "package": ""}, "capabilities": []}}"#,
    r#"{"return": {}, "id": 0}"#,
];

#[test]
fn events_before_a_reply_are_kept_for_who_waits_for_them() {
    const LINES: &[&str] = &[
        OPENING[0],
        OPENING[1],
        "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"other\"}}\n\
         {\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"nic0-vf\"}}\n\
         {\"return\": {}, \"id\": 1}",
    ];
    let (ours, theirs) = UnixStream::pair().unwrap();
    let monitor = monitor(theirs, LINES);
    let mut client = Client::over(ours, LIMIT).unwrap();
    let reply = client.execute("device_del", &json!({ "id": "nic0-vf" }), LIMIT);
    assert_eq!(reply.unwrap(), json!({}));
    assert_eq!(client.version(), [9, 1, 0]);
    let event = client.wait_for(LIMIT, |event| {
        event.data.get("device") == Some(&json!("nic0-vf"))
    });
    assert_eq!(event.unwrap().name, "DEVICE_DELETED");
    drop(client);
    monitor.join().unwrap();
}

#[test]
fn a_monitor_that_says_nothing_is_not_waited_for_longer_than_the_limit() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let error = Client::over(ours, Duration::from_millis(30)).unwrap_err();
    assert!(matches!(error, ClientError::Timeout(_)), "{error}");
}

#[test]
fn a_monitor_that_goes_away_is_an_error() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let error = Client::over(ours, LIMIT).unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error}");
}
