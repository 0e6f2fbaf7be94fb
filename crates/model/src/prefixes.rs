//! Sets of prefixes.

use ipnet::IpNet;

/// The addresses of `from` that are in none of `holes`, as the fewest prefixes, sorted.
pub(crate) fn subtract(from: &[IpNet], holes: &[IpNet]) -> Vec<IpNet> {
    let mut rest = Vec::new();
    for prefix in from {
        carve(*prefix, holes, &mut rest);
    }
    aggregate(&rest)
}

/// The same set with the fewest prefixes, sorted, IPv4 first.
pub(crate) fn aggregate(prefixes: &[IpNet]) -> Vec<IpNet> {
    let prefixes: Vec<IpNet> = prefixes.iter().map(IpNet::trunc).collect();
    let mut prefixes = IpNet::aggregate(&prefixes);
    prefixes.sort_unstable();
    prefixes
}

/// Whether the two share an address.
pub(crate) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// Halves `prefix` until each part lies wholly in a hole or wholly out of all.
fn carve(prefix: IpNet, holes: &[IpNet], rest: &mut Vec<IpNet>) {
    let inside: Vec<IpNet> = holes
        .iter()
        .filter(|hole| overlap(hole, &prefix))
        .copied()
        .collect();
    if inside.is_empty() {
        rest.push(prefix);
        return;
    }
    if inside.iter().any(|hole| hole.contains(&prefix)) {
        return;
    }
    // A hole strictly inside means that there is a longer prefix to halve into.
    if let Ok(halves) = prefix.subnets(prefix.prefix_len() + 1) {
        for half in halves {
            carve(half, &inside, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts
            .iter()
            .map(|text| text.parse().expect("a prefix"))
            .collect()
    }

    #[test]
    fn a_hole_splits_the_prefix_around_it() {
        let rest = subtract(
            &nets(&["10.0.0.0/8"]),
            &nets(&["10.64.0.0/10", "10.0.0.0/32"]),
        );
        assert!(rest.contains(&"10.128.0.0/9".parse().expect("a prefix")));
        let inside = |text: &str| {
            let address: std::net::IpAddr = text.parse().expect("an address");
            rest.iter().any(|prefix| prefix.contains(&address))
        };
        assert!(inside("10.0.0.1") && inside("10.63.255.255") && inside("10.255.0.0"));
        assert!(!inside("10.0.0.0") && !inside("10.64.0.0") && !inside("11.0.0.0"));
    }

    #[test]
    fn families_do_not_mix_and_a_covering_hole_leaves_nothing() {
        assert_eq!(
            subtract(&nets(&["2000::/3"]), &nets(&["0.0.0.0/0"])),
            nets(&["2000::/3"])
        );
        assert!(subtract(&nets(&["10.1.0.0/16"]), &nets(&["10.0.0.0/8"])).is_empty());
    }
}
