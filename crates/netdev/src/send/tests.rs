use super::*;
use crate::{
    fixture::{EXPERIMENT, PLAIN, VethPair, eventually, frame, require_root},
    receive::FrameReceiver,
};

#[tokio::test]
async fn a_refused_frame_does_not_stop_the_others() {
    require_root!();
    let pair = VethPair::new().await;
    let mut receiver = pair.b.run(|| FrameReceiver::new(pair.b_index, 64).unwrap());
    let sender = pair
        .a
        .run(|| FrameSender::new(Queueing::Discipline).unwrap());
    let lo = pair
        .a
        .netlink()
        .link_index(&crate::fixture::link_name("lo"))
        .await
        .unwrap();
    let good = |n: u8| frame(EXPERIMENT, &[n; 60]);
    let unknown_gso = [0, 0x7f, 0, 0, 1, 0, 0, 0, 0, 0];
    let mut batch = SendBatch::with_capacity(64, 64 << 10);
    batch.push(0x7fff_fff0, &PLAIN, &[&good(0)]).unwrap();
    batch.push(pair.a_index, &PLAIN, &[&good(1)]).unwrap();
    batch.push(pair.a_index, &unknown_gso, &[&good(2)]).unwrap();
    batch.push(lo, &PLAIN, &[&good(3)]).unwrap();
    batch
        .push(pair.a_index, &PLAIN, &[&frame(EXPERIMENT, &[4; 4000])])
        .unwrap();
    batch.push(pair.a_index, &PLAIN, &[]).unwrap();
    batch
        .push(pair.a_index, &PLAIN, &[&good(5)[..20], &good(5)[20..]])
        .unwrap();

    let mut refusals = Vec::new();
    let report = batch.send(&sender, |frame| {
        refusals.push((frame.link_index, frame.why))
    });
    let expected = [
        (0x7fff_fff0, Refusal::NoLink),
        (pair.a_index, Refusal::Malformed),
        (lo, Refusal::LinkDown),
        (pair.a_index, Refusal::TooLong),
        (pair.a_index, Refusal::Malformed),
    ];
    assert_eq!(refusals, expected);
    let counted = SendReport {
        sent: 2,
        no_link: 1,
        malformed: 2,
        link_down: 1,
        too_long: 1,
        ..SendReport::default()
    };
    assert_eq!(report, counted);
    assert_eq!(report.refused(), 5);
    assert!(batch.is_empty());

    let mut arrived = Vec::new();
    eventually(|| {
        receiver.recv_batch().unwrap();
        arrived.extend(receiver.frames().map(|frame| frame.bytes.to_vec()));
        (arrived.len() == 2).then_some(())
    });
    assert_eq!(arrived, [good(1), good(5)]);
}

#[tokio::test]
async fn a_batch_is_used_again_and_again() {
    require_root!();
    let pair = VethPair::new().await;
    let mut receiver = pair
        .b
        .run(|| FrameReceiver::new(pair.b_index, 128).unwrap());
    let sender = pair.a.run(|| FrameSender::new(Queueing::Bypass).unwrap());
    let mut batch = SendBatch::with_capacity(100, 100 * 128);
    let mut arrived = 0;
    for round in 0..5_u8 {
        for _ in 0..100 {
            batch
                .push(pair.a_index, &PLAIN, &[&frame(EXPERIMENT, &[round; 60])])
                .unwrap();
        }
        assert_eq!(
            batch.send(&sender, |_| {}),
            SendReport {
                sent: 100,
                ..SendReport::default()
            }
        );
        eventually(|| {
            arrived += receiver.recv_batch().unwrap();
            (arrived == 100 * (usize::from(round) + 1)).then_some(())
        });
    }
}

#[test]
fn limits_of_a_batch() {
    let mut batch = SendBatch::with_capacity(2, 100);
    assert!(batch.is_empty());
    assert_eq!(
        batch.push(1, &PLAIN, &[&[0; 91]]),
        Err(PushError::TooLong { len: 91 })
    );
    assert_eq!(
        batch.push(0, &PLAIN, &[&[0; 20]]),
        Err(PushError::LinkIndex(0))
    );
    assert_eq!(
        batch.push(1 << 31, &PLAIN, &[&[0; 20]]),
        Err(PushError::LinkIndex(1 << 31))
    );
    batch.push(1, &PLAIN, &[&[0; 60]]).unwrap();
    assert_eq!(batch.push(1, &PLAIN, &[&[0; 21]]), Err(PushError::Full));
    batch.push(1, &PLAIN, &[&[0; 10], &[0; 10]]).unwrap();
    assert_eq!(batch.push(1, &PLAIN, &[]), Err(PushError::Full));
    assert_eq!(batch.len(), 2);
    batch.clear();
    batch.push(1, &PLAIN, &[&[0; 90]]).unwrap();
    assert_eq!(
        SendBatch::with_capacity(usize::MAX, 0).entries.len(),
        BATCH_MAX
    );
}
