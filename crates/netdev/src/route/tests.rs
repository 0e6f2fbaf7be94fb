use std::slice;

use super::*;
use crate::fixture::{VethPair, require_root};

#[tokio::test]
async fn a_default_route_over_a_gateway_nobody_covers() {
    require_root!();
    let pair = VethPair::new().await;
    let netlink = pair.a.netlink();
    netlink
        .add_address(
            pair.a_index,
            &"10.9.0.4/32".parse::<IpNet>().unwrap().into(),
        )
        .await
        .unwrap();
    let route = Route {
        link: Some(pair.a_index),
        on_link: true,
        mtu: Some(1400),
        source: Some("10.9.0.4".parse().unwrap()),
        ..Route::default_by("169.254.1.1".parse().unwrap())
    };
    assert!(route.is_default());
    let strict = Route {
        on_link: false,
        ..route.clone()
    };
    assert_eq!(
        netlink.add_route(&strict).await.unwrap_err().errno(),
        Some(libc::ENETUNREACH)
    );
    netlink.add_route(&route).await.unwrap();
    assert_eq!(netlink.routes().await.unwrap(), slice::from_ref(&route));
    assert!(
        netlink
            .add_route(&route)
            .await
            .unwrap_err()
            .is_already_present()
    );

    let other = Route {
        gateway: Some("169.254.1.2".parse().unwrap()),
        mtu: None,
        ..route
    };
    netlink.replace_route(&other).await.unwrap();
    assert_eq!(netlink.routes().await.unwrap(), slice::from_ref(&other));
    assert!(netlink.delete_route(&other).await.unwrap());
    assert!(!netlink.delete_route(&other).await.unwrap());
    assert_eq!(netlink.routes().await.unwrap(), []);
}

#[tokio::test]
async fn routes_without_a_gateway_and_with_a_metric() {
    require_root!();
    let pair = VethPair::new().await;
    let netlink = pair.a.netlink();
    let on_link = Route {
        link: Some(pair.a_index),
        metric: Some(50),
        ..Route::to("10.1.2.3/16".parse().unwrap())
    };
    assert_eq!(on_link.destination, "10.1.0.0/16".parse().unwrap());
    netlink.add_route(&on_link).await.unwrap();
    assert_eq!(netlink.routes().await.unwrap(), [on_link]);
}

#[test]
fn families_do_not_mix_the_wrong_way() {
    let mixed = Route {
        gateway: Some("10.0.0.1".parse().unwrap()),
        ..Route::to("fd00::/64".parse().unwrap())
    };
    assert_eq!(
        message(&mixed).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    let rfc_5549 = Route {
        gateway: Some("fe80::1".parse().unwrap()),
        ..Route::to("10.0.0.0/8".parse().unwrap())
    };
    assert_eq!(parse(&message(&rfc_5549).unwrap()).unwrap(), rfc_5549);
}
