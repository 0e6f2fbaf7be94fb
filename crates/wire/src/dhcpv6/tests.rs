use proptest::prelude::*;

use super::*;

const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 4);

fn message() -> Vec<u8> {
    let mut out = vec![0; 200];
    let mut writer = Dhcpv6Writer::new(&mut out, message::REQUEST, [1, 2, 3]).unwrap();
    writer.option(option::CLIENT_ID, &[0, 3, 0, 1, 9]).unwrap();
    writer
        .option(option::OPTION_REQUEST, &[0, 23, 0, 24])
        .unwrap();
    writer
        .association(option::IA_NA, 77, (5, 8), |writer| {
            writer.address(ADDRESS, 10, 20)?;
            writer.status(Status::NoBinding)
        })
        .unwrap();
    let len = writer.finish();
    out.truncate(len);
    out
}

#[test]
fn what_is_written_is_read() {
    let bytes = message();
    let view = Dhcpv6View::new(&bytes).unwrap();
    assert_eq!(view.message_type(), message::REQUEST);
    assert_eq!(view.transaction(), [1, 2, 3]);
    let id = view.options().first(option::CLIENT_ID);
    assert_eq!(id, Some(&[0, 3, 0, 1, 9][..]));
    assert!(view.wants(option::DNS_SERVERS) && !view.wants(option::STATUS));
    let codes: Vec<u16> = view.options().map(|(code, _)| code).collect();
    assert_eq!(codes, [1, 6, 3]);
    let association = view.options().first(option::IA_NA).unwrap();
    let association = Association::parse(association).unwrap();
    assert_eq!(association.id, 77);
    assert_eq!(association.addresses().collect::<Vec<_>>(), [ADDRESS]);
}

#[test]
fn the_layout_is_that_of_the_rfc() {
    let expected = [
        &[3, 1, 2, 3, 0, 1, 0, 5, 0, 3, 0, 1, 9][..],
        &[0, 6, 0, 4, 0, 23, 0, 24],
        &[0, 3, 0, 46, 0, 0, 0, 77, 0, 0, 0, 5, 0, 0, 0, 8],
        &[0, 5, 0, 24],
        &ADDRESS.octets(),
        &[0, 0, 0, 10, 0, 0, 0, 20],
        &[0, 13, 0, 2, 0, 3],
    ];
    assert_eq!(message(), expected.concat());
}

#[test]
fn nothing_can_be_cut_off_unnoticed_but_whole_options() {
    let bytes = message();
    let whole = [4, 13, 21, 71];
    for len in 0..bytes.len() {
        let read = Dhcpv6View::new(&bytes[..len]);
        assert_eq!(read.is_ok(), whole.contains(&len), "{len} bytes");
    }
    assert!(Association::parse(&[0; 11]).is_err());
}

#[test]
fn a_message_never_outgrows_its_room() {
    assert!(Dhcpv6Writer::new(&mut [0; 3], 1, [0; 3]).is_err());
    let mut out = [0; 12];
    let mut writer = Dhcpv6Writer::new(&mut out, 1, [0; 3]).unwrap();
    assert!(writer.option(1, &[0; 5]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_to_the_end(
        bytes in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..120),
    ) {
        if let Ok(view) = Dhcpv6View::new(&bytes) {
            let read: usize = view.options().map(|(_, value)| 4 + value.len()).sum();
            prop_assert_eq!(read, bytes.len() - HEADER_LEN);
            for (_, value) in view.options() {
                if let Ok(association) = Association::parse(value) {
                    prop_assert!(association.addresses().count() * ADDRESS_LEN <= value.len());
                }
            }
        }
    }
}
