use proptest::prelude::*;

use super::*;
use crate::EmitError;

const MESSAGE: Dhcpv4Repr = Dhcpv4Repr {
    reply: false,
    xid: 0x1234_5678,
    broadcast: true,
    client_address: Ipv4Addr::new(10, 0, 0, 4),
    your_address: Ipv4Addr::UNSPECIFIED,
    client_mac: MacAddr([2, 0, 0, 0, 0, 4]),
};

fn message(options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = vec![0xee; 1_000];
    let mut writer = Dhcpv4Writer::new(&mut out, &MESSAGE).unwrap();
    for (code, value) in options {
        writer.option(*code, value).unwrap();
    }
    let len = writer.finish();
    out.truncate(len);
    out
}

#[test]
fn what_is_written_is_read() {
    let bytes = message(&[
        (option::MESSAGE_TYPE, &[3]),
        (option::REQUESTED_ADDRESS, &[10, 0, 0, 9]),
        (option::MAX_MESSAGE_SIZE, &[5, 0xdc]),
        (option::PARAMETER_LIST, &[1, 3]),
        (option::PARAMETER_LIST, &[26]),
    ]);
    assert_eq!(bytes.len(), MESSAGE_LEN_MIN);
    let view = Dhcpv4View::new(&bytes).unwrap();
    assert!(view.is_ethernet_request() && view.broadcast());
    assert_eq!(view.xid(), MESSAGE.xid);
    assert_eq!(view.client_address(), MESSAGE.client_address);
    assert_eq!(view.your_address(), MESSAGE.your_address);
    assert_eq!(view.client_mac(), MESSAGE.client_mac);
    assert_eq!(view.relay(), None);
    assert_eq!(view.message_type(), Some(MessageType::Request));
    let requested = view.address_option(option::REQUESTED_ADDRESS);
    assert_eq!(requested, Some(Ipv4Addr::new(10, 0, 0, 9)));
    assert_eq!(view.u16_option(option::MAX_MESSAGE_SIZE), Some(1_500));
    assert!(
        view.wants(3) && view.wants(26),
        "in either part of the list"
    );
    assert!(!view.wants(6));
    assert_eq!(view.option(option::CLIENT_ID), None);
}

#[test]
fn without_a_list_everything_is_wanted_and_with_an_empty_one_nothing() {
    assert!(Dhcpv4View::new(&message(&[])).unwrap().wants(6));
    let empty = message(&[(option::PARAMETER_LIST, &[])]);
    assert!(!Dhcpv4View::new(&empty).unwrap().wants(6));
}

#[test]
fn options_go_on_in_the_fields_of_the_boot_file() {
    let mut bytes = message(&[(option::OVERLOAD, &[3])]);
    bytes[FILE.start..][..4].copy_from_slice(&[option::MESSAGE_TYPE, 1, 1, option::END]);
    bytes[SNAME.start..][..5].copy_from_slice(&[0, option::CLIENT_ID, 1, 7, option::END]);
    let view = Dhcpv4View::new(&bytes).unwrap();
    assert_eq!(view.message_type(), Some(MessageType::Discover));
    assert_eq!(view.option(option::CLIENT_ID), Some(&[7][..]));
    // In `file` an option may not reach into the magic cookie.
    bytes[FILE.start..][..4].copy_from_slice(&[option::MESSAGE_TYPE, 127, 1, option::END]);
    assert!(matches!(
        Dhcpv4View::new(&bytes),
        Err(ParseError::Truncated { .. })
    ));
    let undefined = message(&[(option::OVERLOAD, &[4])]);
    assert!(matches!(
        Dhcpv4View::new(&undefined),
        Err(ParseError::BadField { .. })
    ));
}

#[test]
fn bootp_truncated_and_foreign_bytes_are_told_apart() {
    let bytes = message(&[]);
    assert_eq!(Dhcpv4View::new(&bytes).unwrap().message_type(), None);
    assert!(Dhcpv4View::new(&bytes[..239]).is_err());
    let mut foreign = bytes.clone();
    foreign[COOKIE_AT] ^= 1;
    assert!(Dhcpv4View::new(&foreign).is_err());
    let mut cut = bytes[..HEADER_LEN].to_vec();
    assert!(Dhcpv4View::new(&cut).is_ok(), "no options at all");
    cut.extend([option::MESSAGE_TYPE]);
    assert!(Dhcpv4View::new(&cut).is_err());
}

#[test]
fn a_message_never_outgrows_its_room() {
    let mut out = [0; HEADER_LEN + 6];
    let mut writer = Dhcpv4Writer::new(&mut out, &MESSAGE).unwrap();
    assert_eq!(writer.room(), 3);
    assert!(matches!(
        writer.option(option::ROUTER, &[1, 2, 3, 4]),
        Err(EmitError::BufferTooSmall { .. })
    ));
    assert!(matches!(
        writer.option(option::ROUTER, &[0; 256]),
        Err(EmitError::PayloadTooLong { .. })
    ));
    writer.option(option::MESSAGE_TYPE, &[1]).unwrap();
    assert_eq!(writer.room(), 0);
    assert_eq!(writer.finish(), HEADER_LEN + 4 + 2);
    assert!(Dhcpv4Writer::new(&mut [0; HEADER_LEN], &MESSAGE).is_err());
}

proptest! {
    #[test]
    fn any_options_are_refused_or_read_to_the_end(
        overload in 0_u8..=4,
        fields in prop::collection::vec(any::<u8>(), 192),
        options in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut bytes = message(&[(option::OVERLOAD, &[overload])]);
        bytes.truncate(HEADER_LEN + 3);
        bytes[SNAME.start..FILE.end].copy_from_slice(&fields);
        bytes.extend(options);
        if let Ok(view) = Dhcpv4View::new(&bytes) {
            let mut seen = 0;
            for (code, value) in view.options() {
                prop_assert!(view.option(code).is_some());
                seen += 2 + value.len();
            }
            prop_assert!(seen <= bytes.len());
        }
    }
}
