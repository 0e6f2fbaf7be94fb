use super::*;
use crate::fixture::{VethPair, link_name, require_root};

#[tokio::test]
async fn offloads_are_switched() {
    require_root!();
    let pair = VethPair::new().await;
    let va = link_name("va");
    let ethtool = Ethtool::open(&pair.a.namespace).unwrap();
    for offload in [
        Offload::Tso,
        Offload::Gso,
        Offload::Gro,
        Offload::TxChecksum,
    ] {
        assert!(!ethtool.set(&va, offload, false).unwrap(), "{offload}");
        assert!(!ethtool.get(&va, offload).unwrap(), "{offload}");
    }
    for offload in [
        Offload::TxChecksum,
        Offload::Gso,
        Offload::Gro,
        Offload::Tso,
    ] {
        assert!(ethtool.set(&va, offload, true).unwrap(), "{offload}");
        assert!(ethtool.get(&va, offload).unwrap(), "{offload}");
    }
    // What depends on something that is off stays off, and the answer says so.
    assert!(!ethtool.set(&va, Offload::TxChecksum, false).unwrap());
    assert!(!ethtool.set(&va, Offload::Tso, true).unwrap());

    let missing = ethtool.get(&link_name("vb"), Offload::Gro).unwrap_err();
    assert!(missing.is_missing());
    assert_eq!(missing.subject(), "offload gro of link vb");
}
