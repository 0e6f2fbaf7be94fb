use super::*;
use crate::{
    fixture::{EXPERIMENT, PLAIN, VethPair, eventually, frame, require_root, super_frame},
    send::{FrameSender, Queueing, SendBatch},
};

/// Opens a receiver at `vb`, sends `frames` out of `va`, and returns the receiver once `expected`
/// of them are in its batch.
fn exchange(pair: &VethPair, frames: &[(VnetHeader, Vec<u8>)], expected: usize) -> FrameReceiver {
    let mut receiver = pair.b.run(|| FrameReceiver::new(pair.b_index, 64).unwrap());
    let sender = pair
        .a
        .run(|| FrameSender::new(Queueing::Discipline).unwrap());
    let mut batch = SendBatch::with_capacity(64, 256 << 10);
    for (vnet, bytes) in frames {
        batch.push(pair.a_index, vnet, &[bytes]).unwrap();
    }
    let report = batch.send(&sender, |_| {});
    assert_eq!(report.sent as usize, frames.len(), "{report:?}");
    // All have crossed the pair when the send returns, save for a deferred receive softirq.
    let mut received = 0;
    eventually(|| {
        received = receiver.recv_batch().unwrap();
        (received > 0 || expected == 0).then_some(())
    });
    assert_eq!(received, expected);
    receiver
}

#[tokio::test]
async fn a_super_frame_arrives_whole() {
    require_root!();
    let pair = VethPair::new().await;
    // The second is the longest that a link passes on whole: from 64 KiB with the Ethernet header
    // on (`gso_max_size`) the sending stack segments.
    for payload_len in [32 << 10, u16::MAX - 54] {
        let (vnet, bytes) = super_frame(payload_len);
        let receiver = exchange(&pair, &[(vnet, bytes.clone())], 1);
        let received = receiver.frames().next().unwrap();
        assert_eq!(received.bytes.len(), bytes.len());
        assert_eq!(received.vnet, vnet);
        // All but the TCP checksum, whose start value the kernel may fill in.
        assert_eq!(received.bytes[..50], bytes[..50]);
        assert_eq!(received.bytes[52..], bytes[52..]);
        assert_eq!(received.vlan_tci, None);
        assert_eq!(receiver.counters(), ReceiveCounters::default());
    }
}

#[tokio::test]
async fn a_vlan_tag_comes_beside_the_bytes() {
    require_root!();
    let pair = VethPair::new().await;
    let inner = [&EXPERIMENT.to_be_bytes()[..], &[7; 50]].concat();
    for tpid in [0x8100_u16, 0x88a8] {
        let tagged = frame(tpid, &[&0x6064_u16.to_be_bytes()[..], &inner].concat());
        let receiver = exchange(&pair, &[(PLAIN, tagged)], 1);
        let received = receiver.frames().next().unwrap();
        assert_eq!(received.vlan_tci, Some(0x6064));
        assert_eq!(received.vlan_tpid, tpid);
        assert_eq!(received.bytes, frame(EXPERIMENT, &[7; 50]));
    }
}

#[tokio::test]
async fn order_is_kept_across_system_calls() {
    require_root!();
    let pair = VethPair::new().await;
    let frames: Vec<_> = (0..50_u8)
        .map(|n| (PLAIN, frame(EXPERIMENT, &[n; 60])))
        .collect();
    let mut receiver = exchange(&pair, &frames, 50);
    for (received, (_, sent)) in receiver.frames().zip(&frames) {
        assert_eq!(received.bytes, sent);
    }
    assert_eq!(receiver.recv_batch().unwrap(), 0);
    assert_eq!(receiver.frames().count(), 0);
    assert_eq!(
        receiver.socket_drops().unwrap(),
        SocketDrops {
            seen: 50,
            dropped: 0
        }
    );
}

#[tokio::test]
async fn a_small_batch_takes_the_rest_next_time() {
    require_root!();
    let pair = VethPair::new().await;
    let mut receiver = pair.b.run(|| FrameReceiver::new(pair.b_index, 3).unwrap());
    let sender = pair.a.run(|| FrameSender::new(Queueing::Bypass).unwrap());
    let mut batch = SendBatch::with_capacity(5, 4096);
    for n in 0..5 {
        batch
            .push(pair.a_index, &PLAIN, &[&frame(EXPERIMENT, &[n; 60])])
            .unwrap();
    }
    assert_eq!(batch.send(&sender, |_| {}).sent, 5);
    let mut sizes = Vec::new();
    eventually(|| {
        sizes.push(receiver.recv_batch().unwrap());
        (sizes.iter().sum::<usize>() == 5).then_some(())
    });
    assert!(sizes.iter().all(|&size| size <= 3), "{sizes:?}");
}

#[tokio::test]
async fn own_frames_are_not_heard_and_a_link_going_down_is() {
    require_root!();
    let pair = VethPair::new().await;
    let mut at_a = pair.a.run(|| FrameReceiver::new(pair.a_index, 4).unwrap());
    let mut at_b = exchange(&pair, &[(PLAIN, frame(EXPERIMENT, &[1; 60]))], 1);
    assert_eq!(at_a.recv_batch().unwrap(), 0);

    pair.b.netlink().set_down(pair.b_index).await.unwrap();
    let error = at_b.recv_batch().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN));
    assert_eq!(at_b.recv_batch().unwrap(), 0);
}

#[tokio::test]
async fn what_overruns_the_queue_is_counted() {
    require_root!();
    const BATCH: usize = 1_000;
    const BATCHES: usize = 60;
    let pair = VethPair::new().await;
    let mut receiver = pair.b.run(|| FrameReceiver::new(pair.b_index, 64).unwrap());
    let sender = pair.a.run(|| FrameSender::new(Queueing::Bypass).unwrap());
    let long = frame(EXPERIMENT, &[7; 1_400]);
    let mut batch = SendBatch::with_capacity(BATCH, BATCH * 1_500);
    let mut sent = 0;
    for _ in 0..BATCHES {
        for _ in 0..BATCH {
            batch.push(pair.a_index, &PLAIN, &[&long]).unwrap();
        }
        sent += u64::from(batch.send(&sender, |_| {}).sent);
    }
    let (mut seen, mut dropped) = (0, 0);
    eventually(|| {
        seen += receiver.recv_batch().unwrap() as u64;
        dropped += u64::from(receiver.socket_drops().unwrap().dropped);
        (seen + dropped >= sent).then_some(())
    });
    assert_eq!(seen + dropped, sent);
    assert!(seen > 1_000 && dropped > 1_000, "{seen} and {dropped}");
    assert_eq!(receiver.recv_batch().unwrap(), 0);
}

#[test]
fn impossible_receivers_are_refused() {
    for batch in [0, BATCH_MAX + 1] {
        let error = FrameReceiver::new(1, batch).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
    require_root!();
    assert_eq!(
        FrameReceiver::new(0, 1).unwrap_err().raw_os_error(),
        Some(libc::ENODEV)
    );
    assert_eq!(
        FrameReceiver::new(0x7fff_fff0, 1)
            .unwrap_err()
            .raw_os_error(),
        Some(libc::ENODEV)
    );
}
