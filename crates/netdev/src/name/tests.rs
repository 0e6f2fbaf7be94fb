use super::*;

#[test]
fn link_names_follow_the_kernel() {
    for good in ["lo", "cw-0123456789ab", "eth0.100", "é"] {
        assert_eq!(LinkName::new(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "sixteen-bytes-xx",
        ".",
        "..",
        "a/b",
        "a:b",
        "a b",
        "veth%d",
        "a\0",
        "a\u{1b}",
    ] {
        assert!(LinkName::new(bad).is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn namespace_names_stay_inside_their_directory() {
    assert_eq!(
        NamespaceName::new("tenant a:1").unwrap().as_str(),
        "tenant a:1"
    );
    for bad in ["", ".", "..", "../etc", "a/b", "a\0b", &"x".repeat(256)] {
        assert!(NamespaceName::new(bad).is_err(), "{bad:?} was accepted");
    }
}
