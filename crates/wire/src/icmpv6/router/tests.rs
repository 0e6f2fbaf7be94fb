use super::*;

fn solicit(options: &[u8]) -> Result<Option<MacAddr>, ParseError> {
    let bytes = [&[message::ROUTER_SOLICIT, 0, 0, 0, 0, 0, 0, 0], options].concat();
    Ok(RouterSolicitView::new(Icmpv6View::new(&bytes)?)?.source_mac())
}

#[test]
fn a_solicitation_may_say_who_asks() {
    assert_eq!(solicit(&[]), Ok(None));
    assert_eq!(
        solicit(&[1, 1, 2, 0, 0, 0, 0, 9]),
        Ok(Some(MacAddr([2, 0, 0, 0, 0, 9])))
    );
    // Of an unknown type, and so skipped.
    assert_eq!(solicit(&[200, 1, 2, 0, 0, 0, 0, 9]), Ok(None));
}

#[test]
fn options_without_length_or_cut_short_are_refused() {
    assert!(matches!(
        solicit(&[1, 0, 0, 0, 0, 0, 0, 0]),
        Err(ParseError::BadHeaderLength { found: 0, .. })
    ));
    for cut in [&[1, 2, 0, 0, 0, 0, 0, 0][..], &[1]] {
        assert!(matches!(solicit(cut), Err(ParseError::Truncated { .. })));
    }
}

#[test]
fn an_advertisement_is_laid_out_as_the_rfc_has_it() {
    let mut out = [0xaa; 200];
    let advert = RouterAdvert {
        hop_limit: 64,
        managed: true,
        other: true,
        lifetime: 0x1234,
    };
    let mut writer = RouterAdvertWriter::new(&mut out, &advert).unwrap();
    writer.source_mac(MacAddr([2, 3, 4, 5, 6, 7])).unwrap();
    writer.mtu(1400).unwrap();
    let prefix = PrefixInformation {
        prefix: "fd00:1::".parse().unwrap(),
        length: 64,
        on_link: true,
        autonomous: false,
        valid: u32::MAX,
        preferred: 7,
    };
    writer.prefix(&prefix).unwrap();
    let servers: [Ipv6Addr; 1] = ["fd00::53".parse().unwrap()];
    writer.dns_servers(9, servers.into_iter()).unwrap();
    let len = writer.finish();
    let expected: Vec<u8> = [
        &[134, 0, 0, 0, 64, 0xc0, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[1, 1, 2, 3, 4, 5, 6, 7],
        &[5, 1, 0, 0, 0, 0, 0x05, 0x78],
        &[3, 4, 64, 0x80, 255, 255, 255, 255, 0, 0, 0, 7, 0, 0, 0, 0],
        &[0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[25, 3, 0, 0, 0, 0, 0, 9],
        &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53],
    ]
    .concat();
    assert_eq!(out[..len], expected);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let advert = RouterAdvert {
        hop_limit: 0,
        managed: false,
        other: false,
        lifetime: 0,
    };
    assert!(RouterAdvertWriter::new(&mut [0; 15], &advert).is_err());
    let mut out = [0; 20];
    let mut writer = RouterAdvertWriter::new(&mut out, &advert).unwrap();
    assert!(writer.mtu(1280).is_err());
    // A length of 255 units is the most there is.
    let many = vec![Ipv6Addr::LOCALHOST; 128];
    assert!(matches!(
        writer.dns_servers(1, many.into_iter()),
        Err(EmitError::PayloadTooLong { .. })
    ));
    assert_eq!(writer.finish(), 16);
}
