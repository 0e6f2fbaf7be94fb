use super::{Stream, stream_of};

#[test]
fn the_receivers_count_is_taken() {
    let json = r#"{"end":{"sum_sent":{"bytes":9,"bits_per_second":9.0},
                   "sum_received":{"bytes":1000,"bits_per_second":8000.5}}}"#;
    let expected = Stream {
        bits_per_second: 8000.5,
        bytes: 1000.0,
    };
    assert_eq!(stream_of(json).unwrap(), expected);
}

#[test]
fn errors_are_errors() {
    let refused = r#"{"start":{},"end":{},"error":"the server is busy running a test"}"#;
    let error = stream_of(refused).unwrap_err().to_string();
    assert_eq!(error, "iperf3: the server is busy running a test");
    assert!(stream_of("{}").is_err());
    assert!(stream_of("iperf3: bad").is_err());
}
