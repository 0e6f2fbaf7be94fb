use super::*;
use crate::fixture::{TestNamespace, VethPair, link_name, require_root};

#[tokio::test]
async fn settings_are_those_of_the_namespace() {
    require_root!();
    let (pair, other) = (VethPair::new().await, TestNamespace::new());
    let va = link_name("va");
    let settings = [
        (Setting::Ipv4Forward, 1),
        (Setting::DisableIpv6(Scope::Link(&va)), 0),
        (Setting::Ipv6Forwarding(Scope::Link(&va)), 1),
        (Setting::AddrGenMode(Scope::Link(&va)), 1),
        (Setting::AcceptRa(Scope::Link(&va)), 2),
        (Setting::AcceptDad(Scope::Link(&va)), 0),
        (Setting::RpFilter(Scope::Link(&va)), 2),
        (Setting::RpFilter(Scope::Default), 1),
        (Setting::RpFilter(Scope::All), 0),
    ];
    write(&pair.a.namespace, &settings).unwrap();
    for (setting, value) in settings {
        assert_eq!(
            read(&pair.a.namespace, setting).unwrap(),
            value,
            "{setting}"
        );
    }
    assert_eq!(read(&other.namespace, Setting::Ipv4Forward).unwrap(), 0);

    let missing = link_name("nothing");
    let refused = write(
        &pair.a.namespace,
        &[(Setting::RpFilter(Scope::Link(&missing)), 1)],
    );
    let refused = refused.unwrap_err();
    assert!(refused.is_missing(), "{refused}");
    assert!(
        refused.subject().contains("/ipv4/conf/nothing/rp_filter"),
        "{refused}"
    );
    assert!(
        read(&pair.b.namespace, Setting::RpFilter(Scope::Link(&va)))
            .unwrap_err()
            .is_missing()
    );
}
