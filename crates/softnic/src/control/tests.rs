use proptest::prelude::*;

use super::{Command, CommandError, MAC_TABLE_MAX, ReceiveMode};
use crate::features::NetFeatures;

fn parse(bytes: &[u8]) -> Result<Command, CommandError> {
    Command::parse(bytes, NetFeatures(u64::MAX), 4)
}

#[test]
fn commands_are_read() {
    let promiscuous = Command::Receive(ReceiveMode::Promiscuous, true);
    assert_eq!(parse(&[0, 0, 1]), Ok(promiscuous));
    let broadcast = Command::Receive(ReceiveMode::NoBroadcast, false);
    assert_eq!(parse(&[0, 5, 0]), Ok(broadcast));
    let mac = [2, 0, 0, 0, 0, 1];
    assert_eq!(
        parse(&[1, 1, 2, 0, 0, 0, 0, 1]),
        Ok(Command::MacAddress(mac))
    );
    assert_eq!(parse(&[2, 0, 100, 0]), Ok(Command::VlanAdd(100)));
    assert_eq!(parse(&[2, 1, 100, 0]), Ok(Command::VlanRemove(100)));
    assert_eq!(parse(&[3, 0]), Ok(Command::Announced));
    assert_eq!(parse(&[4, 0, 4, 0]), Ok(Command::QueuePairs(4)));
}

#[test]
fn tables_hold_two_kinds_of_addresses() {
    let mut bytes = vec![1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 2, 0, 0, 0];
    bytes.extend([0x33, 0x33, 0, 0, 0, 1, 1, 0, 0x5e, 0, 0, 1]);
    let table = Command::MacTable {
        unicast: vec![[2, 0, 0, 0, 0, 9]],
        multicast: vec![[0x33, 0x33, 0, 0, 0, 1], [1, 0, 0x5e, 0, 0, 1]],
    };
    assert_eq!(parse(&bytes), Ok(table));
    bytes.push(0);
    assert_eq!(parse(&bytes), Err(CommandError::Length(29)));
    bytes.truncate(27);
    assert_eq!(parse(&bytes), Err(CommandError::Length(27)));
}

#[test]
fn tables_are_limited() {
    let count = u32::try_from(MAC_TABLE_MAX + 1).unwrap();
    let mut bytes = vec![1, 0];
    bytes.extend(count.to_le_bytes());
    bytes.resize(bytes.len() + (MAC_TABLE_MAX + 1) * 6, 0);
    bytes.extend([0; 4]);
    assert!(matches!(parse(&bytes), Err(CommandError::Length(_))));
}

#[test]
fn nonsense_is_refused() {
    let unknown = |class, command| Err(CommandError::Unknown { class, command });
    assert_eq!(parse(&[9, 0]), unknown(9, 0));
    assert_eq!(parse(&[0, 6, 1]), unknown(0, 6));
    assert_eq!(parse(&[4, 1, 1, 0]), unknown(4, 1));
    assert_eq!(parse(&[0]), Err(CommandError::Length(1)));
    assert_eq!(parse(&[0, 0, 2]), Err(CommandError::Value(2)));
    assert_eq!(parse(&[2, 0, 0, 16]), Err(CommandError::Value(4096)));
    assert_eq!(parse(&[4, 0, 0, 0]), Err(CommandError::Value(0)));
    assert_eq!(parse(&[4, 0, 5, 0]), Err(CommandError::Value(5)));
    assert_eq!(parse(&[3, 0, 0]), Err(CommandError::Length(3)));
}

#[test]
fn commands_need_their_feature() {
    let cases: [(&[u8], NetFeatures); 5] = [
        (&[0, 0, 1], NetFeatures::CTRL_RX),
        (&[1, 1, 2, 0, 0, 0, 0, 1], NetFeatures::CTRL_MAC_ADDR),
        (&[2, 0, 1, 0], NetFeatures::CTRL_VLAN),
        (&[3, 0], NetFeatures::GUEST_ANNOUNCE),
        (&[4, 0, 1, 0], NetFeatures::MQ),
    ];
    for (bytes, needed) in cases {
        let (class, command) = (bytes[0], bytes[1]);
        let without = NetFeatures(u64::MAX).without(needed);
        let refused = CommandError::NotNegotiated { class, command };
        assert_eq!(Command::parse(bytes, without, 4), Err(refused));
        assert!(Command::parse(bytes, needed, 4).is_ok());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_command_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(Command::MacTable { unicast, multicast }) = parse(&bytes) {
            prop_assert_eq!(10 + 6 * (unicast.len() + multicast.len()), bytes.len());
        }
    }
}
