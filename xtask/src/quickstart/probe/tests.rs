use super::{Outcome, outcome_of};
use crate::quickstart::expectations::Verdict;

fn decided(json: &str) -> Verdict {
    match outcome_of(json).unwrap() {
        Outcome::Decided(verdict) => verdict,
        Outcome::Busy => panic!("busy"),
    }
}

#[test]
fn silence_is_a_denial_and_a_refusal_is_none() {
    let error = |what: &str| format!(r#"{{"end": {{}}, "error": "unable to connect: {what}"}}"#);
    assert_eq!(decided(&error("Connection timed out")), Verdict::Denied);
    assert_eq!(decided(&error("Connection refused")), Verdict::Allowed);
    let busy = r#"{"error": "error - the server is busy running a test. try again later"}"#;
    assert_eq!(outcome_of(busy).unwrap(), Outcome::Busy);
    assert!(outcome_of(&error("No route to host")).is_err());
    assert!(outcome_of("{}").is_err());
    assert!(outcome_of("iperf3: error").is_err());
}

#[test]
fn what_arrives_counts_not_what_is_sent() {
    let tcp = r#"{"end": {"sum_sent": {"bytes": 1048576}, "sum_received": {"bytes": 1048576}}}"#;
    assert_eq!(decided(tcp), Verdict::Allowed);
    let udp =
        |lost: u32| format!(r#"{{"end": {{"sum": {{"packets": 500, "lost_packets": {lost}}}}}}}"#);
    assert_eq!(decided(&udp(3)), Verdict::Allowed);
    assert_eq!(decided(&udp(500)), Verdict::Denied);
}
