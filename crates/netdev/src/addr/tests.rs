use super::*;
use crate::{
    fixture::{MAC_B, VethPair, link_name, require_root},
    neigh::Neighbour,
    sysctl::{self, Scope, Setting},
};

#[tokio::test]
async fn addresses_of_both_families() {
    require_root!();
    let pair = VethPair::new().await;
    let va = link_name("va");
    let own_ipv6 = [
        (Setting::AddrGenMode(Scope::Link(&va)), 1),
        (Setting::DisableIpv6(Scope::Link(&va)), 0),
    ];
    sysctl::write(&pair.a.namespace, &own_ipv6).unwrap();
    let netlink = pair.a.netlink();
    let v4 = Address {
        no_prefix_route: true,
        ..Address::from("10.9.0.4/24".parse::<IpNet>().unwrap())
    };
    let v6 = Address {
        no_dad: true,
        ..Address::from("fd00::4/64".parse::<IpNet>().unwrap())
    };
    netlink.add_address(&va, &v4).await.unwrap();
    netlink.add_address(pair.a_index, &v6).await.unwrap();
    assert_eq!(netlink.addresses(&va).await.unwrap(), [v4, v6]);
    assert_eq!(netlink.addresses(&link_name("lo")).await.unwrap(), []);

    let again = netlink.add_address(&va, &v4).await.unwrap_err();
    assert!(again.is_already_present());
    assert_eq!(again.subject(), "address 10.9.0.4/24 of link va");
    netlink.replace_address(&va, &v6).await.unwrap();

    let routed: Vec<_> = netlink
        .routes()
        .await
        .unwrap()
        .into_iter()
        .map(|r| r.destination)
        .collect();
    assert!(
        !routed.contains(&"10.9.0.0/24".parse().unwrap()),
        "{routed:?}"
    );
    assert!(routed.contains(&"fd00::/64".parse().unwrap()), "{routed:?}");

    assert!(netlink.delete_address(&va, v4.prefix).await.unwrap());
    assert!(!netlink.delete_address(&va, v4.prefix).await.unwrap());
    assert!(netlink.delete_address(&va, v6.prefix).await.unwrap());
    assert_eq!(netlink.addresses(&va).await.unwrap(), []);
    assert!(
        netlink
            .addresses(&link_name("nothing"))
            .await
            .unwrap_err()
            .is_missing()
    );
}

#[tokio::test]
async fn a_neighbour_stays_until_deleted() {
    require_root!();
    let pair = VethPair::new().await;
    let netlink = pair.a.netlink();
    let address = "169.254.1.1".parse().unwrap();
    netlink
        .replace_neighbour(pair.a_index, address, [2, 9, 9, 9, 9, 9])
        .await
        .unwrap();
    netlink
        .replace_neighbour(pair.a_index, address, MAC_B)
        .await
        .unwrap();
    let expected = Neighbour {
        address,
        mac: Some(MAC_B),
        permanent: true,
    };
    assert_eq!(netlink.neighbours(pair.a_index).await.unwrap(), [expected]);
    assert!(
        netlink
            .delete_neighbour(pair.a_index, address)
            .await
            .unwrap()
    );
    assert!(
        !netlink
            .delete_neighbour(pair.a_index, address)
            .await
            .unwrap()
    );
}
