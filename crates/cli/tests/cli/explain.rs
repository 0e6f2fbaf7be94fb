//! `explain`.

use serde_json::json;

use crate::agent::{Prepared, Reply};
use crate::{assert_snapshot, samples};

const PACKET: &str = "tcp 10.0.1.4:40000 -> 10.0.2.4:22";

#[test]
fn a_denied_packet_ends_with_3() {
    let agent = Prepared::default()
        .on_json("POST /v1/explain", &samples::denied())
        .start();
    let ran = agent.run(["explain", "web-1", PACKET]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_snapshot("table_explain_denied", &ran.stdout);
    assert_eq!(
        agent.asked()[0].1,
        json!({"nic": "web-1", "packet": PACKET, "offUplink": false})
    );

    let ran = agent.run(["explain", "web-1", PACKET, "-o", "json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(
        ran.json(),
        serde_json::to_value(samples::denied()).expect("JSON")
    );
}

#[test]
fn an_allowed_packet_ends_with_0() {
    let agent = Prepared::default()
        .on_json("POST /v1/explain", &samples::allowed())
        .start();
    let ran = agent.run(["explain", "web-1/eth0", PACKET]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_snapshot("table_explain_allowed", &ran.stdout);
}

#[test]
fn what_is_no_packet_ends_with_2() {
    let answer = |_: &_| Reply::error(400, "InvalidRequest", "packet `x`: found 1 words, not 4");
    let agent = Prepared::default().on("POST /v1/explain", answer).start();
    let ran = agent.run(["explain", "web-1", "x"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(ran.stderr, "error: packet `x`: found 1 words, not 4\n");
}
