use std::path::PathBuf;

use super::answers::{NicStats, PathStats, Status, TakenOver, VfState};
use super::executable;

#[test]
fn the_binary_is_where_cargo_says() {
    let messages = r#"
{"reason":"compiler-artifact","target":{"name":"host"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"xtask"},"executable":"/t/release/xtask"}
{"reason":"compiler-artifact","target":{"name":"clearway"},"executable":"/t/release/clearway"}
{"reason":"build-finished","success":true}"#;
    let file = Some(PathBuf::from("/t/release/clearway"));
    assert_eq!(executable(messages), file);
    assert_eq!(executable(r#"{"reason":"build-finished"}"#), None);
}

#[test]
fn counters_are_read_and_subtracted() {
    let parse = |text: &str| serde_json::from_str::<NicStats>(text).unwrap();
    let before = parse(
        r#"{"name": "web-1/eth0",
            "accelerated": {"fromGuestPackets": 10, "fromGuestBytes": 640,
                            "toGuestPackets": 20, "toGuestBytes": 1280},
            "synthetic": {"fromGuestPackets": 1, "fromGuestBytes": 64,
                          "toGuestPackets": 2, "toGuestBytes": 128},
            "exceptions": 4, "firstPackets": 3, "resimulations": 0, "staleForwarded": 0,
            "answered": 1, "drops": []}"#,
    );
    let mut after = before;
    after.accelerated.to_guest_packets = 1020;
    after.first_packets = 5;
    let moved = after.since(&before);
    let expected = NicStats {
        accelerated: PathStats {
            from_guest_packets: 0,
            to_guest_packets: 1000,
        },
        synthetic: PathStats::default(),
        first_packets: 2,
    };
    assert_eq!(moved, expected);
    assert_eq!(before.accelerated.packets(), 30);
}

#[test]
fn states_are_read() {
    let state: VfState = serde_json::from_str(
        r#"{"desired": true, "observed": "synthetic", "reason": "by an operator",
            "since": "2026-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    assert_eq!(state.observed, "synthetic");
    assert_eq!(state.reason.as_deref(), Some("by an operator"));
    let state: VfState = serde_json::from_str(r#"{"observed": "accelerated"}"#).unwrap();
    assert_eq!(state.reason, None);
    let status: Status = serde_json::from_str(
        r#"{"instance": "quickstart", "pid": 42, "engine": "bpf (tcx)", "flows": 12,
            "takenOver": {"ports": 4, "flows": 12}, "firstPackets": 7}"#,
    )
    .unwrap();
    assert_eq!((status.pid, status.engine.as_str()), (42, "bpf (tcx)"));
    assert_eq!(
        status.taken_over,
        TakenOver {
            ports: 4,
            flows: 12
        }
    );
}
