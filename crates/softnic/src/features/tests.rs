use super::{NetFeatures, ProtocolFeatures};

#[test]
fn names_are_the_specifications() {
    let set = NetFeatures::CSUM | NetFeatures::RING_PACKED | NetFeatures(1 << 60);
    assert_eq!(set.to_string(), "CSUM RING_PACKED BIT_60");
    assert_eq!(ProtocolFeatures(1 << 16 | 1).to_string(), "MQ STATUS");
}

#[test]
fn rings_see_only_their_bits() {
    let all = NetFeatures(u64::MAX).rings();
    assert_eq!(all, vring::features::Features::SUPPORTED);
    assert_eq!(NetFeatures::CSUM.rings().0, 0);
    assert_eq!(
        NetFeatures::LOG_ALL.rings(),
        vring::features::Features::LOG_ALL
    );
}

#[test]
fn sets_are_sets() {
    let both = NetFeatures::MAC | NetFeatures::MTU;
    assert!(both.has(NetFeatures::MAC) && !NetFeatures::MAC.has(both));
    assert_eq!(both.without(NetFeatures::MAC), NetFeatures::MTU);
    assert_eq!(
        both.both(NetFeatures::MTU | NetFeatures::CSUM),
        NetFeatures::MTU
    );
}
