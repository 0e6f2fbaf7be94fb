use std::io::Write;
use std::num::NonZeroU32;
use std::time::Duration;

use super::echo::Jitter;
use super::server::Stop;
use super::udp_rate::Pace;
use super::{seconds, stream, udp_rate};

#[test]
fn lengths_have_limits() {
    assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
    for bad in ["0", "-1", "nan", "inf", "1e9", "soon"] {
        assert!(seconds(bad).is_err(), "{bad}");
    }
}

#[test]
fn jitter_is_the_mean_difference_between_neighbours() {
    let mut jitter = Jitter::default();
    assert_eq!(jitter.mean_ns(), 0.0);
    for ns in [100, 300, 200, 200] {
        jitter.record(Duration::from_nanos(ns));
    }
    assert!((jitter.mean_ns() - 100.0).abs() < 1e-6);
}

#[test]
fn a_paced_sender_keeps_its_rate() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let pace = Pace {
        greet: false,
        rate: NonZeroU32::new(500),
    };
    let length = Duration::from_millis(200);
    let sent = udp_rate::blast(socket.local_addr().unwrap(), 18, pace, length).unwrap();
    // Sleeping takes no shorter than asked, so never more; fewer only on a busy machine.
    assert!((1..=101).contains(&sent.datagrams), "{}", sent.datagrams);
    assert!(sent.seconds >= 0.2);
}

#[test]
fn a_stream_arrives_whole_and_its_silences_are_noticed() {
    let stop = Stop::default();
    let (told, pause) = (stop.clone(), Duration::from_millis(60));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sink = std::thread::spawn(move || stream::receive(&listener, &told).unwrap());
    let mut sender = std::net::TcpStream::connect(address).unwrap();
    let begun = stream::monotonic_ns();
    sender.write_all(&[1; 1000]).unwrap();
    std::thread::sleep(pause);
    let half = stream::monotonic_ns();
    sender.write_all(&[2; 500]).unwrap();
    drop(sender);
    let arrived = sink.join().unwrap();
    assert!(arrived.complete);
    assert_eq!(arrived.bytes, 1500);
    assert!(u128::from(arrived.largest_gap_ns) >= pause.as_nanos() - 5_000_000);
    assert_eq!(arrived.bytes_between(begun, half), 1000);
    assert_eq!(arrived.bytes_between(half, stream::monotonic_ns()), 500);
    assert_eq!(arrived.bytes_between(0, begun), 0);
}

#[test]
fn a_stream_that_is_stopped_is_not_complete() {
    let stop = Stop::default();
    let told = stop.clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sink = std::thread::spawn(move || stream::receive(&listener, &told).unwrap());
    let sent = stream::source(address, Duration::from_millis(50)).unwrap();
    let arrived = sink.join().unwrap();
    assert!(sent.bytes > 0);
    assert_eq!((arrived.complete, arrived.bytes), (true, sent.bytes));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = stop.clone();
    let sink = std::thread::spawn(move || stream::receive(&listener, &told).unwrap());
    let open = std::net::TcpStream::connect(address).unwrap();
    stop.stop();
    assert!(!sink.join().unwrap().complete);
    drop(open);
}
