use proptest::prelude::*;

use super::*;

/// As QEMU 7.2 of Debian 12 greets.
const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7+deb12u18"}, "capabilities": ["oob"]}}"#;

fn lines(session: &mut Session) -> Vec<String> {
    let output = String::from_utf8(session.take_output()).unwrap();
    output.lines().map(str::to_owned).collect()
}

fn open() -> Session {
    let mut session = Session::default();
    session
        .receive(format!("{GREETING}\r\n").as_bytes())
        .unwrap();
    assert_eq!(
        lines(&mut session),
        [r#"{"execute":"qmp_capabilities","id":0}"#]
    );
    assert!(!session.is_open());
    session.receive(b"{\"return\": {}, \"id\": 0}\r\n").unwrap();
    assert_eq!(
        session.poll(),
        Some(Incoming::Ready {
            version: [7, 2, 22]
        })
    );
    assert!(session.is_open());
    session
}

#[test]
fn a_command_is_answered_under_its_id_whatever_happens_between() {
    let mut session = open();
    let first = session.command("device_del", &json!({ "id": "nic0-vf" }));
    let second = session.command("query-status", &json!({}));
    assert_eq!(
        lines(&mut session),
        [
            r#"{"arguments":{"id":"nic0-vf"},"execute":"device_del","id":1}"#,
            r#"{"execute":"query-status","id":2}"#,
        ]
    );
    session
        .receive(
            concat!(
                r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}"#,
                "\n",
                r#"{"return": {"status": "running"}, "id": 2}"#,
                "\n",
                r#"{"id": 1, "error": {"class": "DeviceNotFound", "desc": "Device 'nic0-vf' not found"}}"#,
                "\n",
            )
            .as_bytes(),
        )
        .unwrap();
    let event = Event {
        name: "RESUME".to_owned(),
        data: Map::new(),
    };
    assert_eq!(session.poll(), Some(Incoming::Event(event)));
    let status = json!({ "status": "running" });
    assert_eq!(session.poll(), Some(Incoming::Reply(second, Ok(status))));
    let Some(Incoming::Reply(id, Err(refusal))) = session.poll() else {
        panic!("a refusal");
    };
    assert_eq!(id, first);
    assert_eq!(
        refusal.to_string(),
        "QEMU refused: Device 'nic0-vf' not found (DeviceNotFound)"
    );
    assert_eq!(session.poll(), None);
}

#[test]
fn what_does_not_greet_is_no_monitor() {
    for bytes in ["SSH-2.0-OpenSSH\r\n", "{\"return\": {}}\n", "{}\n"] {
        let refused = Session::default().receive(bytes.as_bytes());
        assert_eq!(refused, Err(ProtocolError::Greeting), "{bytes}");
    }
}

#[test]
fn what_is_no_message_ends_the_session() {
    for bytes in [
        "{\"return\": {}}\n",
        "{\"id\": 3}\n",
        "nonsense\n",
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n",
    ] {
        let refused = open().receive(bytes.as_bytes());
        assert!(
            matches!(refused, Err(ProtocolError::Message(_))),
            "{bytes}: {refused:?}"
        );
    }
}

#[test]
fn a_line_without_end_is_not_kept_for_ever() {
    let mut session = open();
    let piece = vec![b' '; 1 << 20];
    let refused = (0..5).find_map(|_| session.receive(&piece).err());
    assert_eq!(refused, Some(ProtocolError::LineTooLong));
}

#[test]
fn events_that_nobody_takes_give_way_and_replies_do_not() {
    let mut session = open();
    let id = session.command("query-status", &json!({}));
    session.receive(b"{\"return\": {}, \"id\": 1}\n").unwrap();
    for _ in 0..2 * WAITING_MAX {
        session.receive(b"{\"event\": \"RTC_CHANGE\"}\n").unwrap();
    }
    assert_eq!(session.incoming.len(), WAITING_MAX);
    assert_eq!(session.poll(), Some(Incoming::Reply(id, Ok(json!({})))));
}

proptest! {
    #[test]
    fn how_bytes_are_cut_does_not_matter(cuts in prop::collection::vec(1usize..60, 0..40)) {
        let text = format!(
            "{GREETING}\r\n{{\"return\": {{}}, \"id\": 0}}\r\n{{\"event\": \"STOP\", \"data\": {{\"a\": 1}}}}\r\n"
        );
        let mut session = Session::default();
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            session.receive(now).unwrap();
            rest = later;
        }
        session.receive(rest).unwrap();
        prop_assert_eq!(session.poll(), Some(Incoming::Ready { version: [7, 2, 22] }));
        let Some(Incoming::Event(event)) = session.poll() else {
            panic!("an event");
        };
        prop_assert_eq!(event.data.get("a"), Some(&json!(1)));
    }

    #[test]
    fn no_bytes_are_too_strange(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let mut session = open();
        for piece in pieces {
            if session.receive(&piece).is_err() {
                break;
            }
        }
    }
}
