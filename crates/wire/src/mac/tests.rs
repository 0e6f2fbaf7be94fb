use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

use super::*;

#[test]
fn reads_both_separators_and_cases() {
    let mac = MacAddr([0x00, 0x0d, 0x3a, 0xab, 0xcd, 0xef]);
    for text in [
        "00:0d:3a:ab:cd:ef",
        "00-0D-3A-AB-CD-EF",
        "00:0D:3a:aB:Cd:eF",
    ] {
        assert_eq!(text.parse(), Ok(mac));
    }
    assert_eq!(mac.to_string(), "00:0d:3a:ab:cd:ef");
}

#[test]
fn refuses_anything_else_and_says_what() {
    for text in [
        "",
        "00:0d:3a:ab:cd",
        "00:0d:3a:ab:cd:ef:01",
        "00:0d-3a:ab:cd:ef",
        "000d3aabcdef",
        "00.0d.3a.ab.cd.ef",
        "00:0d:3a:ab:cd:eg",
        "0:0d:3a:ab:cd:ef0",
        "+0:0d:3a:ab:cd:ef",
        " 00:0d:3a:ab:cd:e",
        "00:0d:3a:ab:cd:é",
    ] {
        let error = text.parse::<MacAddr>().unwrap_err();
        assert_eq!(error.found, text);
        assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
    }
    assert_eq!(
        "x".repeat(1000).parse::<MacAddr>().unwrap_err().found.len(),
        40
    );
}

#[test]
fn tells_groups_from_stations() {
    assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_multicast());
    let group = MacAddr::of_ipv6_multicast("ff02::1:ff12:3456".parse().unwrap());
    assert_eq!(group.to_string(), "33:33:ff:12:34:56");
    assert!(group.is_multicast() && !group.is_broadcast());
    assert!(!MacAddr([2, 0, 0, 0, 0, 1]).is_multicast());
}

proptest! {
    #[test]
    fn text_and_bytes_round_trip(octets: [u8; 6]) {
        let mac = MacAddr(octets);
        prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        prop_assert_eq!(MacAddr::read_from_bytes(mac.as_bytes()), Ok(mac));
    }
}
