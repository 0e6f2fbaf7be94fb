use super::{CLIENT, KernelBridge, RawVeth};
use crate::bench::inside::inside;
use crate::bench::nft_rules::{Family, ruleset};
use crate::bench::testbed::Bed;
use crate::process;

/// What keeps these tests from running here, if anything does.
fn obstacle() -> Option<String> {
    if !process::is_root() {
        return Some("making network namespaces needs root".to_owned());
    }
    let missing = ["ip", "ping", "nft"]
        .into_iter()
        .find(|tool| process::find(tool).is_none())?;
    Some(format!("{missing} is not installed"))
}

#[test]
fn kernel_a_raw_pair_carries_packets_both_ways() {
    if let Some(why) = obstacle() {
        return crate::skip::because("bench::kernel_a_raw_pair_carries_packets_both_ways", &why);
    }
    let bed = RawVeth::open().unwrap();
    let back = format!("ping -n -q -c1 -W2 {CLIENT}");
    process::capture(inside(&bed.testbed().server, "sh").args(["-c", &back])).unwrap();
}

#[test]
fn kernel_the_bridge_filters_and_tracks() {
    if let Some(why) = obstacle() {
        return crate::skip::because("bench::kernel_the_bridge_filters_and_tracks", &why);
    }
    let bed = match KernelBridge::open(50) {
        Ok(bed) => bed,
        Err(error) => {
            let why = format!("this kernel cannot filter bridged packets: {error:#}");
            return crate::skip::because("bench::kernel_the_bridge_filters_and_tracks", &why);
        }
    };
    let host = bed._host.name();
    let listed = process::capture(inside(host, "nft").args(["list", "ruleset"])).unwrap();
    assert_eq!(listed.matches("ip saddr").count(), 49);
    // Without its last rule the filter lets nothing new pass: it really is in the path.
    let closed = ruleset(Family::Inet, 2).replace("  accept\n", "");
    process::feed(
        inside(host, "nft").args(["-f", "-"]),
        &format!("flush ruleset\n{closed}"),
    )
    .unwrap();
    let ping = "ping -n -q -c1 -W1 198.18.0.2";
    assert!(process::capture(inside(&bed.testbed().client, "sh").args(["-c", ping])).is_err());
}
