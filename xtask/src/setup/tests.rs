use clap::ValueEnum;

use super::consent::{Consent, Decision, decide};
use super::tools::Tool;
use super::{Need, Purpose, apt, by_hand, missing_of};

fn need(tool: Tool, required: bool) -> Need {
    Need {
        tool,
        why: "test",
        required,
    }
}

#[test]
fn a_tool_needed_twice_is_missing_once_and_stays_required() {
    let needs = [
        need(Tool::Iperf3, false),
        need(Tool::Curl, false),
        need(Tool::Iperf3, true),
    ];
    let missing = missing_of(&needs, |need| need.tool == Tool::Curl);
    assert_eq!(missing, [need(Tool::Iperf3, true)]);
}

#[test]
fn present_tools_are_not_missing() {
    assert!(missing_of(&Purpose::Bench.needs(), |_| true).is_empty());
}

#[test]
fn nobody_is_surprised() {
    assert_eq!(decide(Consent::Given, false, false), Decision::Install);
    assert_eq!(decide(Consent::Ask, true, false), Decision::Install);
    assert_eq!(decide(Consent::Ask, false, true), Decision::Prompt);
    assert_eq!(decide(Consent::Ask, false, false), Decision::Refuse);
}

#[test]
fn the_first_known_alternative_is_taken() {
    let lists: [&[&str]; 2] = [&["bpftool", "linux-tools-common"], &["iperf3"]];
    let chosen = apt::choose(&lists, |name| name != "bpftool").unwrap();
    assert_eq!(chosen, ["linux-tools-common", "iperf3"]);
    let error = apt::choose(&lists, |name| name == "iperf3")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "no package of the name bpftool or linux-tools-common"
    );
}

#[test]
fn a_dependency_is_found_by_the_beginning_of_its_name() {
    let said = "linux-image-amd64\n  Depends: kmod\n  Depends: linux-image-6.1.0-56-amd64\n";
    let found = apt::dependency_in(said, "linux-image-");
    assert_eq!(found.as_deref(), Some("linux-image-6.1.0-56-amd64"));
    assert_eq!(apt::dependency_in(said, "linux-headers-"), None);
    let weaker = "linux-image-amd64\n  PreDepends: linux-image-7\n |Depends: linux-image-8\n";
    assert_eq!(apt::dependency_in(weaker, "linux-image-"), None);
}

#[test]
fn the_message_for_other_systems_names_everything() {
    let text = by_hand(&[need(Tool::Nftables, true), need(Tool::Nextest, true)]);
    assert_eq!(
        text,
        "install by hand the packages nftables (Debian's names) and \
         `cargo install --locked cargo-nextest`"
    );
}

#[test]
fn every_purpose_says_why_it_needs_what() {
    for purpose in Purpose::value_variants() {
        let needs = purpose.needs();
        assert!(!needs.is_empty(), "{purpose:?}");
        assert!(needs.iter().all(|need| !need.why.is_empty()), "{purpose:?}");
    }
}
