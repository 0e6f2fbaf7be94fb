use std::path::Path;

use super::{NAMES, Namespace, is_abandoned};

#[test]
fn only_our_own_names_of_dead_processes_are_abandoned() {
    let alive = |pid| pid == 7;
    assert!(is_abandoned("clearway-bench-8-0-client", alive));
    assert!(!is_abandoned("clearway-bench-7-0-client", alive));
    assert!(!is_abandoned("clearway-bench-x-0-client", alive));
    assert!(!is_abandoned("other-8-0-client", alive));
    assert!(!is_abandoned("clearway-bench", alive));
}

#[test]
fn kernel_a_namespace_goes_with_its_value() {
    let name = {
        let namespace = match Namespace::create("short") {
            Ok(namespace) => namespace,
            Err(error) => {
                let test = "bench::namespace::kernel_a_namespace_goes_with_its_value";
                return crate::skip::because(test, &format!("{error:#}"));
            }
        };
        namespace.set("net/ipv4/ip_default_ttl", "77").unwrap();
        assert_eq!(namespace.get("net/ipv4/ip_default_ttl").unwrap(), "77");
        assert!(namespace.ip(&["link", "show", "no-such"]).is_err());
        assert!(Path::new(NAMES).join(namespace.name()).exists());
        namespace.name().to_owned()
    };
    assert!(!Path::new(NAMES).join(name).exists());
}
