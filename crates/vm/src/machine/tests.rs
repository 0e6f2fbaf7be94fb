use proptest::prelude::*;

use super::*;

#[test]
fn addresses_as_lspci_prints_them() {
    let address: PciAddress = "0000:3b:02.1".parse().unwrap();
    assert_eq!(
        address,
        PciAddress {
            domain: 0,
            bus: 0x3b,
            device: 2,
            function: 1
        }
    );
    assert_eq!("3b:02.1".parse(), Ok(address));
    assert_eq!(address.to_string(), "0000:3b:02.1");
}

#[test]
fn what_is_no_address_is_named() {
    for text in [
        "",
        "3b:02",
        "3b:20.0",
        "3b:02.8",
        "3b:02.1,x-no-mmap=on",
        "00000:3b:02.1",
        "0:0000:3b:02.1",
        "+b:02.1",
        "3b:02.01",
    ] {
        let error = text.parse::<PciAddress>().unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

proptest! {
    #[test]
    fn printing_is_the_inverse_of_reading(
        domain: u16, bus: u8, device in 0u8..32, function in 0u8..8,
    ) {
        let address = PciAddress { domain, bus, device, function };
        prop_assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn no_text_is_too_strange(text: String) {
        let _either = text.parse::<PciAddress>();
    }
}
