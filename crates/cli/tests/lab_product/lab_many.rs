//! Many guests at once: made together, removed together, and what that asks of the host undone.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use netdev::NamespaceName;
use netdev::netns::Namespace;
use rustix::process::Signal;

use crate::lab::{Lab, eventually, lab};

/// More than the agent makes at the same time.
const GUESTS: u32 = 20;

/// Guests `g0`, `g1` and so on, at addresses that end in their number and ten.
fn guests(numbers: Range<u32>) -> String {
    let mut topology = "
name: lab
vnets: { main: { addressSpace: 10.0.0.0/16, subnets: { all: { prefix: 10.0.0.0/24 } } } }
guests:
"
    .to_owned();
    for number in numbers {
        let address = number + 10;
        writeln!(
            topology,
            "  g{number}: {{ subnet: main/all, address: 10.0.0.{address} }}"
        )
        .unwrap();
    }
    topology
}

/// The host's setting while nothing is being made, and the agent's note that it has changed it.
fn setting() -> String {
    std::fs::read_to_string("/sys/kernel/rcu_expedited").unwrap_or_default()
}

fn note(lab: &Lab) -> PathBuf {
    lab.paths().socket.with_file_name("rcu-expedited")
}

#[test]
fn many_guests_come_and_go_together() {
    let before = setting();
    let lab = lab!(&guests(0..GUESTS));
    assert_eq!(lab.status().nics, GUESTS as usize);
    assert_eq!(lab.ping("g0", "10.0.0.29"), "allow");
    assert_eq!(setting(), before, "for as long as it took");
    assert!(!note(&lab).exists());
    let all = lab.devices().len();

    // Those in the middle go, and others come.
    let kept = guests(0..3) + guests(17..GUESTS + 4).split_once("guests:\n").unwrap().1;
    let applied = lab.apply(&kept, &[]);
    assert!(applied.problems.is_empty(), "{applied:?}");
    assert_eq!(lab.status().nics, GUESTS as usize - 10);
    assert_eq!(lab.devices().len(), all - 10);
    assert_eq!(lab.ping("g0", "10.0.0.29"), "allow");
    assert_eq!(lab.ping("g0", "10.0.0.33"), "allow");
    assert_eq!(lab.ping("g0", "10.0.0.15"), "no-mapping");

    // A change of policy makes nothing anew, unless something has gone.
    let name = NamespaceName::new(&lab.paths().namespace_of("g1")).unwrap();
    assert!(Namespace::delete(&name).unwrap());
    eventually("its device has gone", || {
        (lab.devices().len() == all - 11).then_some(())
    });
    let again = kept.replace("name: lab", "name: again");
    let applied = lab.apply(&again, &[]);
    assert!(applied.problems.is_empty(), "{applied:?}");
    assert_eq!(lab.ping("g0", "10.0.0.11"), "allow");
    assert_eq!(lab.devices().len(), all - 10);
    lab.down();
    assert_eq!(setting(), before);
}

#[test]
fn a_host_that_was_left_in_haste_is_not_kept_so() {
    let mut lab = lab!(&guests(0..2));
    lab.end_agent(Signal::KILL);
    // As a kill in the midst of many changes leaves it; that it was off before is what the note says.
    let before = setting();
    if before.trim() != "0" {
        return;
    }
    std::fs::write(note(&lab), "").unwrap();
    std::fs::write("/sys/kernel/rcu_expedited", "1").unwrap();
    lab.start(&[]);
    eventually("it is off again", || (setting() == before).then_some(()));
    assert!(!note(&lab).exists());
    assert_eq!(lab.ping("g0", "10.0.0.11"), "allow");
}

#[test]
fn a_kill_among_many_changes_leaves_one_of_both() {
    let mut lab = lab!(&guests(0..1));
    let file = lab.write(&guests(0..GUESTS));
    lab.kill_during(&["apply", &file, "--yes"], Duration::from_millis(60));
    lab.start(&[]);
    let nics = lab.status().nics;
    assert!(nics == 1 || nics == GUESTS as usize, "{nics}");
    let applied = lab.apply(&guests(0..GUESTS), &[]);
    assert!(applied.problems.is_empty(), "{applied:?}");
    assert_eq!(lab.ping("g0", "10.0.0.29"), "allow");
    assert!(!note(&lab).exists());
    lab.down();
}
