use std::time::SystemTime;

use super::*;
use crate::{
    fixture::{EXPERIMENT, PATIENCE, PLAIN, VethPair, frame, require_root},
    send::{FrameSender, Queueing, SendBatch},
};

#[tokio::test]
async fn both_directions_with_time_and_true_length() {
    require_root!();
    let pair = VethPair::new().await;
    let everything = CaptureOptions {
        outgoing: true,
        promiscuous: true,
        timestamps: true,
        ..CaptureOptions::default()
    };
    let at_a = pair
        .a
        .run(|| RawSocket::new(pair.a_index, &everything).unwrap());
    let at_b = pair
        .b
        .run(|| RawSocket::new(pair.b_index, &everything).unwrap());
    let deaf = pair
        .a
        .run(|| RawSocket::new(pair.a_index, &CaptureOptions::default()).unwrap());
    let sender = pair
        .a
        .run(|| FrameSender::new(Queueing::Discipline).unwrap());
    let sent = frame(EXPERIMENT, &[3; 300]);
    let mut batch = SendBatch::with_capacity(1, 4096);
    batch.push(pair.a_index, &PLAIN, &[&sent]).unwrap();
    assert_eq!(batch.send(&sender, |_| {}).sent, 1);

    let mut short = [0; 100];
    for (socket, outgoing) in [(&at_a, true), (&at_b, false)] {
        assert!(socket.wait(PATIENCE).unwrap());
        let received = socket.recv(&mut short).unwrap();
        assert_eq!((received.len, received.frame_len), (100, sent.len()));
        assert_eq!(short[..], sent[..100]);
        assert_eq!((received.outgoing, received.vlan), (outgoing, None));
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let age = now.checked_sub(received.timestamp.unwrap()).unwrap();
        assert!(age < PATIENCE * 2, "{age:?}");
    }
    assert_eq!(
        deaf.recv(&mut short).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert!(!deaf.wait(Duration::from_millis(1)).unwrap());
    assert_eq!(
        at_b.socket_drops().unwrap(),
        SocketDrops {
            seen: 1,
            dropped: 0
        }
    );
}
