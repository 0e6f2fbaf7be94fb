use super::*;
use crate::fixture::require_root;

#[test]
fn releases_of_distributions() {
    for (release, expected) in [
        ("6.1.0-18-amd64", KernelVersion::new(6, 1, 0)),
        ("6.18.44-fc-v445", KernelVersion::new(6, 18, 44)),
        ("5.15", KernelVersion::new(5, 15, 0)),
        ("6.13-rc1", KernelVersion::new(6, 13, 0)),
        ("5.14.0.el9", KernelVersion::new(5, 14, 0)),
    ] {
        assert_eq!(release.parse(), Ok(expected), "{release}");
    }
    for hostile in ["", "six", "6", "6.", ".6", "99999999999.1.1", "-6.1"] {
        assert!(
            hostile.parse::<KernelVersion>().is_err(),
            "{hostile:?} was accepted"
        );
    }
}

#[test]
fn versions_compare_as_versions() {
    assert!(KernelVersion::new(6, 9, 9) < KernelVersion::new(6, 10, 0));
    assert!(KernelVersion::new(5, 99, 0) < KernelVersion::new(6, 0, 0));
    assert!(KernelVersion::running().unwrap() > KernelVersion::new(3, 0, 0));
}

#[test]
fn bpffs_is_there_afterwards() {
    require_root!();
    ensure_bpffs().unwrap();
    assert!(is_bpffs(Path::new(BPFFS)));
    assert!(!ensure_bpffs().unwrap());
    assert!(!is_bpffs(Path::new("/proc")));
}
