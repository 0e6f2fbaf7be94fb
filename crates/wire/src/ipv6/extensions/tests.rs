use proptest::prelude::*;

use super::*;

/// Destination options of 8 bytes that lead to `next`.
fn options(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

fn fragment(next: u8, offset: u16, more: bool) -> [u8; 8] {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    [next, 0, high, low, 0xde, 0xad, 0xbe, 0xef]
}

const TCP: u8 = protocol::TCP;

#[test]
fn without_extensions_nothing_is_read() {
    for proto in [TCP, protocol::ESP, protocol::AH, protocol::NO_NEXT_HEADER] {
        let expected = Extensions {
            proto,
            len: 0,
            fragment: None,
        };
        assert_eq!(walk_extensions(proto, &[]), Ok(expected));
    }
}

#[test]
fn a_full_chain_is_walked() {
    let mut chain = Vec::new();
    chain.extend([protocol::ROUTING, 1]);
    chain.extend([0; 14]); // hop-by-hop of 16 bytes
    chain.extend([protocol::FRAGMENT, 0, 2, 1, 0, 0, 0, 0]); // routing
    chain.extend(fragment(protocol::DESTINATION_OPTIONS, 0, true));
    chain.extend(options(TCP));
    let fragment = Some(Fragment {
        id: 0xdead_beef,
        offset: 0,
        more: true,
    });
    let expected = Extensions {
        proto: TCP,
        len: 40,
        fragment,
    };
    assert_eq!(walk_extensions(protocol::HOP_BY_HOP, &chain), Ok(expected));
}

#[test]
fn the_limit_is_the_limit() {
    let of = |count: usize| {
        let mut chain = [options(protocol::DESTINATION_OPTIONS)].repeat(count - 1);
        chain.push(options(TCP));
        chain.concat()
    };
    let walk = |count| walk_extensions(protocol::DESTINATION_OPTIONS, &of(count));
    assert_eq!(walk(EXTENSIONS_MAX).unwrap().len, 64);
    assert_eq!(
        walk(EXTENSIONS_MAX + 1),
        Err(ParseError::TooManyExtensions { max: 8 })
    );
}

#[test]
fn hostile_chains_are_refused() {
    let refused = |first, chain: &[u8], next_header| {
        let expected = Err(ParseError::BadExtension { next_header });
        assert_eq!(walk_extensions(first, chain), expected);
    };
    let late_hop_by_hop = [options(protocol::HOP_BY_HOP), options(TCP)].concat();
    refused(
        protocol::DESTINATION_OPTIONS,
        &late_hop_by_hop,
        protocol::HOP_BY_HOP,
    );
    let twice = [
        fragment(protocol::FRAGMENT, 0, false),
        fragment(TCP, 0, true),
    ]
    .concat();
    refused(protocol::FRAGMENT, &twice, protocol::FRAGMENT);
    refused(
        protocol::ROUTING,
        &[TCP, 0, 0, 1, 0, 0, 0, 0],
        protocol::ROUTING,
    );
    // The same routing header with no segments left is ignored, as RFC 5095 asks.
    assert!(walk_extensions(protocol::ROUTING, &[TCP, 0, 0, 0, 0, 0, 0, 0]).is_ok());
}

#[test]
fn truncation_says_what_is_missing() {
    let truncated = |need, have| {
        Err(ParseError::Truncated {
            header: Header::Ipv6Extension,
            need,
            have,
        })
    };
    let long = [TCP, 2, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        walk_extensions(protocol::DESTINATION_OPTIONS, &long),
        truncated(24, 9)
    );
    assert_eq!(
        walk_extensions(protocol::FRAGMENT, &[TCP; 7]),
        truncated(8, 7)
    );
}

#[test]
fn an_atomic_fragment_is_whole_and_a_later_one_ends_the_walk() {
    let atomic = fragment(TCP, 0, false);
    let expected = Extensions {
        proto: TCP,
        len: 8,
        fragment: None,
    };
    assert_eq!(walk_extensions(protocol::FRAGMENT, &atomic), Ok(expected));
    let later = fragment(protocol::DESTINATION_OPTIONS, 64, false);
    let found = walk_extensions(protocol::FRAGMENT, &later).unwrap();
    let expected = Fragment {
        id: 0xdead_beef,
        offset: 64,
        more: false,
    };
    assert_eq!(
        (found.proto, found.fragment),
        (protocol::DESTINATION_OPTIONS, Some(expected))
    );
}

proptest! {
    #[test]
    fn the_walk_stays_inside(next: u8, bytes in prop::collection::vec(0u8..64, 0..128)) {
        if let Ok(found) = walk_extensions(next, &bytes) {
            prop_assert!(found.len <= bytes.len());
        }
    }
}
