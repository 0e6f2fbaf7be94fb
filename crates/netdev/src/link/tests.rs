use super::*;
use crate::fixture::{MAC_A, MAC_B, TestNamespace, VethPair, link_name, require_root};

#[tokio::test]
async fn a_veth_pair_is_made_as_asked() {
    require_root!();
    let (a, b) = (TestNamespace::new(), TestNamespace::new());
    let near = VethEnd {
        mac: Some(MAC_A),
        mtu: Some(1400),
        tx_queues: Some(2),
        rx_queues: Some(3),
        tx_queue_len: Some(77),
        ..VethEnd::new(link_name("va"))
    };
    let far = VethEnd {
        mac: Some(MAC_B),
        mtu: Some(9000),
        namespace: Some(&b.namespace),
        ..VethEnd::new(link_name("vb"))
    };
    let (in_a, in_b) = (a.netlink(), b.netlink());
    in_a.create_veth(&near, &far).await.unwrap();

    let va = in_a.link(&near.name).await.unwrap().unwrap();
    let vb = in_b.link(&far.name).await.unwrap().unwrap();
    assert_eq!(
        (va.name.as_str(), va.mac, va.mtu),
        ("va", Some(MAC_A), 1400)
    );
    assert_eq!((va.tx_queues, va.rx_queues, va.tx_queue_len), (2, 3, 77));
    assert_eq!(
        (vb.name.as_str(), vb.mac, vb.mtu),
        ("vb", Some(MAC_B), 9000)
    );
    assert_eq!(va.kind.as_deref(), Some("veth"));
    assert_eq!(va.lower_index, Some(vb.index));
    assert!(!va.is_up() && !va.has_carrier());
    assert!(in_a.link(&far.name).await.unwrap().is_none());

    let taken = in_a
        .create_veth(&near, &VethEnd::new(link_name("vc")))
        .await
        .unwrap_err();
    assert!(taken.is_already_present(), "{taken}");
    assert!(
        in_a.link(&link_name("vc")).await.unwrap().is_none(),
        "half a pair was left"
    );
}

#[tokio::test]
async fn a_link_changes_and_goes() {
    require_root!();
    let pair = VethPair::new().await;
    let (in_a, in_b) = (pair.a.netlink(), pair.b.netlink());
    let va = link_name("va");
    in_a.set_mtu(&va, 1300).await.unwrap();
    in_a.set_mac(&va, [2, 1, 2, 3, 4, 5]).await.unwrap();
    in_a.set_tx_queue_len(&va, 5).await.unwrap();
    let state = in_a.link(pair.a_index).await.unwrap().unwrap();
    assert_eq!(
        (state.mtu, state.mac, state.tx_queue_len),
        (1300, Some([2, 1, 2, 3, 4, 5]), 5)
    );
    assert!(state.is_up() && state.has_carrier());

    in_a.set_down(&va).await.unwrap();
    assert!(!in_a.link(&va).await.unwrap().unwrap().is_up());
    in_a.rename(&va, &link_name("renamed")).await.unwrap();
    assert_eq!(
        in_a.link(pair.a_index).await.unwrap().unwrap().name,
        "renamed"
    );
    assert!(in_a.link(&va).await.unwrap().is_none());
    let names: Vec<_> = in_a
        .links()
        .await
        .unwrap()
        .into_iter()
        .map(|link| link.name)
        .collect();
    assert_eq!(names, ["lo", "renamed"]);

    in_a.move_link(pair.a_index, &pair.b.namespace)
        .await
        .unwrap();
    assert!(in_a.link(&link_name("renamed")).await.unwrap().is_none());
    assert!(in_b.link(&link_name("renamed")).await.unwrap().is_some());

    assert!(in_b.delete_link(&link_name("renamed")).await.unwrap());
    assert!(!in_b.delete_link(&link_name("renamed")).await.unwrap());
    assert!(
        in_b.link(pair.b_index).await.unwrap().is_none(),
        "the peer stayed"
    );
}

#[tokio::test]
async fn errors_say_what_failed_and_why() {
    require_root!();
    let test = TestNamespace::new();
    let netlink = test.netlink();
    let missing = netlink.set_up(&link_name("nothing")).await.unwrap_err();
    assert_eq!(missing.to_string(), "link nothing: cannot set it up");
    assert_eq!(missing.errno(), Some(libc::ENODEV));
    assert!(missing.is_missing());
    let multicast = VethPair::new().await;
    let refused = multicast
        .a
        .netlink()
        .set_mac(&link_name("va"), [1, 0, 0, 0, 0, 0])
        .await;
    assert_eq!(refused.unwrap_err().errno(), Some(libc::EADDRNOTAVAIL));
}

#[test]
fn a_runtime_is_needed() {
    let error = Netlink::open_current().unwrap_err();
    assert_eq!(error.operation(), "connect outside a tokio runtime");
}
