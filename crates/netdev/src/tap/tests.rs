use super::*;
use crate::{
    capture::{CaptureOptions, RawSocket},
    fixture::{
        EXPERIMENT, MAC_A, PATIENCE, PLAIN, TestNamespace, eventually, frame, link_name,
        require_root, super_frame,
    },
    send::{FrameSender, Queueing, SendBatch},
};

fn options(name: &str) -> TapOptions {
    TapOptions {
        name: link_name(name),
        multi_queue: false,
        header: TapHeader::Long,
        persist: false,
        owner: None,
    }
}

#[tokio::test]
async fn frames_pass_both_ways_with_their_header() {
    require_root!();
    let test = TestNamespace::new();
    let tap = test.run(|| Tap::open(&options("tap0")).unwrap());
    assert_eq!(tap.name().as_str(), "tap0");
    let netlink = test.netlink();
    assert_eq!(
        netlink.link_index(tap.name()).await.unwrap(),
        tap.link_index()
    );
    assert_eq!(
        netlink
            .link(tap.link_index())
            .await
            .unwrap()
            .unwrap()
            .kind
            .as_deref(),
        Some("tun")
    );
    netlink.set_mac(tap.link_index(), MAC_A).await.unwrap();
    let down = tap
        .write_frame(&[&[0; 12], &frame(EXPERIMENT, &[1; 60])])
        .unwrap_err();
    assert_eq!(down.raw_os_error(), Some(libc::EIO));
    netlink.set_up(tap.link_index()).await.unwrap();

    // From the host: with everything offloaded, a super-frame comes whole.
    let taken = tap.set_offloads(TapOffloads::ALL).unwrap();
    assert!(taken.checksum && taken.tso4 && taken.tso6 && taken.tso_ecn);
    let sender = test.run(|| FrameSender::new(Queueing::Bypass).unwrap());
    let (vnet, sent) = super_frame(32 << 10);
    let mut batch = SendBatch::with_capacity(1, 64 << 10);
    batch.push(tap.link_index(), &vnet, &[&sent]).unwrap();
    assert_eq!(batch.send(&sender, |_| {}).sent, 1);
    let mut buffer = vec![0; 70 << 10];
    let len = eventually(|| tap.read_frame(&mut buffer).ok());
    assert_eq!(len, TapHeader::Long.len() + sent.len());
    assert_eq!(buffer[..2], vnet[..2], "flags and segmentation");
    assert_eq!(buffer[12..62], sent[..50]);
    assert_eq!(buffer[64..len], sent[52..]);
    assert_eq!(
        tap.read_frame(&mut buffer).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );

    // To the host.
    let at_tap = test.run(|| RawSocket::new(tap.link_index(), &CaptureOptions::default()).unwrap());
    let sent = frame(EXPERIMENT, &[9; 100]);
    let written = tap
        .write_frame(&[&[0; 12], &sent[..14], &sent[14..]])
        .unwrap();
    assert_eq!(written, 12 + sent.len());
    assert!(at_tap.wait(PATIENCE).unwrap());
    let received = at_tap.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..received.len], sent);
    assert_eq!(received.vnet, PLAIN);

    let too_many = [&[0_u8][..]; PARTS_MAX + 1];
    assert_eq!(
        tap.write_frame(&too_many).unwrap_err().raw_os_error(),
        Some(libc::EINVAL)
    );
    assert_eq!(
        tap.write_frame(&[&[0; 3]]).unwrap_err().raw_os_error(),
        Some(libc::EINVAL)
    );
}

#[tokio::test]
async fn a_tap_stays_only_if_asked() {
    require_root!();
    let test = TestNamespace::new();
    let netlink = test.netlink();
    let gone = test.run(|| Tap::open(&options("tap0")).unwrap());
    drop(gone);
    assert!(netlink.link(&link_name("tap0")).await.unwrap().is_none());

    let lasting = TapOptions {
        persist: true,
        owner: Some(1234),
        ..options("tap1")
    };
    let tap = test.run(|| Tap::open(&lasting).unwrap());
    let index = tap.link_index();
    drop(tap);
    assert!(netlink.link(index).await.unwrap().is_some());
    let again = test.run(|| Tap::open(&options("tap1")).unwrap());
    assert_eq!(again.link_index(), index);
    again.delete().unwrap();
    assert!(netlink.link(index).await.unwrap().is_none());
}

#[tokio::test]
async fn queues_must_agree() {
    require_root!();
    let test = TestNamespace::new();
    let many = TapOptions {
        multi_queue: true,
        header: TapHeader::Short,
        ..options("tap0")
    };
    let (first, second) = test.run(|| (Tap::open(&many).unwrap(), Tap::open(&many).unwrap()));
    assert_eq!(first.link_index(), second.link_index());
    let single = TapOptions {
        multi_queue: false,
        ..many
    };
    let error = test.run(|| Tap::open(&single).unwrap_err());
    assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
    assert_eq!(error.subject(), "TAP tap0");

    let bare = TapOptions {
        header: TapHeader::None,
        ..options("tap1")
    };
    let tap = test.run(|| Tap::open(&bare).unwrap());
    assert_eq!(
        tap.set_offloads(TapOffloads::ALL).unwrap_err().errno(),
        Some(libc::EINVAL)
    );
    assert_eq!(
        tap.set_offloads(TapOffloads::default()).unwrap(),
        TapOffloads::default()
    );
}
