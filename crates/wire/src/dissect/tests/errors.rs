//! Packets that must be refused, and why.

use super::*;

fn truncated(header: Header, need: usize, have: usize) -> ParseError {
    ParseError::Truncated { header, need, have }
}

/// `frame` after `change`, with the IPv4 checksum right again.
fn with(mut frame: Vec<u8>, change: impl Fn(&mut Vec<u8>)) -> Result<Dissection, ParseError> {
    change(&mut frame);
    if frame[12..14] == [8, 0] {
        ipv4::fill_header_checksum(&mut frame[14..34]);
    }
    dissect(&frame)
}

#[test]
fn a_cut_anywhere_is_an_error() {
    for (a, b) in both() {
        for frame in [
            compose::tcp(&a, &b, TcpFlags::ACK, b"abc"),
            compose::udp(&a, &b, b"abc"),
            compose::echo_request(&a, &b, 1, b"abc"),
        ] {
            for len in 0..frame.len() {
                assert!(
                    dissect(&frame[..len]).is_err(),
                    "cut to {len} of {}",
                    frame.len()
                );
            }
        }
    }
}

#[test]
fn lengths_that_lie() {
    let (a, b) = v4();
    let tcp = || compose::tcp(&a, &b, TcpFlags::ACK, b"abcd");
    let exceeds = |header, total, have| ParseError::TotalLengthExceedsFrame {
        header,
        total,
        have,
    };
    let below = |header, total, need| ParseError::TotalLengthBelowHeader {
        header,
        total,
        need,
    };
    let bad_len = |header, found| ParseError::BadHeaderLength { header, found };

    let result = with(tcp(), |frame| frame[17] = 45);
    assert_eq!(result, Err(exceeds(Header::Ipv4, 45, 44)));
    let result = with(tcp(), |frame| frame[17] = 19);
    assert_eq!(result, Err(below(Header::Ipv4, 19, 20)));
    let result = with(tcp(), |frame| frame[17] = 39);
    assert_eq!(result, Err(truncated(Header::Tcp, 20, 19)));
    assert_eq!(
        with(tcp(), |frame| frame[14] = 0x44),
        Err(bad_len(Header::Ipv4, 16))
    );
    assert_eq!(
        with(tcp(), |frame| frame[46] = 0x40),
        Err(bad_len(Header::Tcp, 16))
    );
    assert_eq!(
        with(tcp(), |frame| frame[46] = 0x70),
        Err(truncated(Header::Tcp, 28, 24))
    );

    let udp = || compose::udp(&a, &b, b"abcd");
    assert_eq!(
        with(udp(), |frame| frame[39] = 13),
        Err(exceeds(Header::Udp, 13, 12))
    );
    assert_eq!(
        with(udp(), |frame| frame[39] = 7),
        Err(below(Header::Udp, 7, 8))
    );
    // A datagram may be shorter than its packet.
    assert!(with(udp(), |frame| frame[39] = 8).is_ok());

    let (a, b) = v6();
    let udp = || compose::udp(&a, &b, b"abcd");
    assert_eq!(
        with(udp(), |frame| frame[19] = 13),
        Err(exceeds(Header::Ipv6, 53, 52))
    );
    // A jumbogram has a payload length of zero.
    assert_eq!(
        with(udp(), |frame| frame[19] = 0),
        Err(truncated(Header::Udp, 8, 0))
    );
}

#[test]
fn versions_and_checksums() {
    let (a, b) = v4();
    let bad = |header, found| Err(ParseError::BadVersion { header, found });
    let frame = compose::udp(&a, &b, b"");
    assert_eq!(
        with(frame.clone(), |frame| frame[14] = 0x65),
        bad(Header::Ipv4, 6)
    );
    let mut broken = frame;
    broken[24] ^= 1;
    assert_eq!(
        dissect(&broken),
        Err(ParseError::BadChecksum {
            header: Header::Ipv4
        })
    );
    let (a, b) = v6();
    let frame = compose::udp(&a, &b, b"");
    assert_eq!(with(frame, |frame| frame[14] = 0x40), bad(Header::Ipv6, 4));
}

#[test]
fn fragments_that_only_attacks_send() {
    for (a, b) in both() {
        let tcp = compose::tcp(&a, &b, TcpFlags::ACK, &[0; 100]);
        let bad = |offset| Err(ParseError::BadFragment { offset });
        // RFC 1858: the first fragment must hold the TCP header, and none may overwrite it.
        let parts = compose::fragments(&tcp, 1, 16);
        assert_eq!(dissect(&parts[0]), Err(truncated(Header::Tcp, 20, 16)));
        assert_eq!(dissect(&parts[1]), bad(16));
        assert!(dissect(&parts[2]).is_ok());
        // The last fragment of the "ping of death" ends past 65535 bytes.
        let mut last = compose::fragments(&compose::udp(&a, &b, &[0; 100]), 1, 64).swap_remove(1);
        if a.ip.is_ipv4() {
            last[20..22].copy_from_slice(&[0x1f, 0xff]);
            ipv4::fill_header_checksum(&mut last[14..34]);
        } else {
            last[56..58].copy_from_slice(&[0xff, 0xf8]);
        }
        assert_eq!(dissect(&last), bad(65528));
    }
}

#[test]
fn solicitations_with_bad_options() {
    let (a, _) = v6();
    let solicit = compose::neighbour_solicit(&a, "fd00::99".parse().unwrap());
    let option = 14 + 40 + 24;
    let found = ParseError::BadHeaderLength {
        header: Header::Icmpv6,
        found: 0,
    };
    assert_eq!(
        with(solicit.clone(), |frame| frame[option + 1] = 0),
        Err(found)
    );
    let found = truncated(Header::Icmpv6, 16, 8);
    assert_eq!(with(solicit, |frame| frame[option + 1] = 2), Err(found));
}

#[test]
fn errors_read_as_sentences() {
    let (a, b) = v4();
    let mut frame = compose::udp(&a, &b, b"");
    frame.truncate(30);
    let message = dissect(&frame).unwrap_err().to_string();
    assert_eq!(message, "IPv4 header truncated: needs 20 bytes, has 16");
}
