//! Two hosts in one virtual machine: a network namespace each, an underlay between them, an agent
//! in each and the topologies of `examples/two-hosts`.

use std::path::Path;

use host::api::{DropRow, NicStats, NicSummary, Status, VfState};
use serde::de::DeserializeOwned;

use crate::image::{Image, Images};
use crate::vm::{Hardware, Ran, Vm};

/// busybox has an `ip` and a `tc` of its own, which are no match.
const IP: &str = "/usr/local/bin/ip";
const TC: &str = "/usr/local/bin/tc";

/// A host, and the guest on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

/// Both hosts, with their agents.
pub(crate) struct TwoHosts {
    pub(crate) vm: Vm,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::A, Side::B];

    /// Namespace, instance and topology go by the same name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::A => "a",
            Side::B => "b",
        }
    }

    pub(crate) fn guest(self) -> &'static str {
        match self {
            Side::A => "web-1",
            Side::B => "db-1",
        }
    }

    /// The guest's address.
    pub(crate) fn address(self) -> &'static str {
        match self {
            Side::A => "10.0.1.4",
            Side::B => "10.0.2.4",
        }
    }

    fn provider(self) -> &'static str {
        match self {
            Side::A => "192.0.2.1",
            Side::B => "192.0.2.2",
        }
    }

    /// Arguments for `clearway` that run a program in the guest.
    pub(crate) fn exec(self, command: &str) -> String {
        format!("exec {} -- {command}", self.guest())
    }

    pub(crate) fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

impl TwoHosts {
    /// Starts the machine, joins the hosts and starts their agents.
    pub(crate) fn up(images: &Images) -> TwoHosts {
        let vm = Vm::boot(images, &Hardware::of(Image::Host));
        let mut hosts = TwoHosts { vm };
        let underlay = "link add eth1 netns a type veth peer name eth1 netns b";
        hosts.vm.check(&format!(
            "{IP} netns add a && {IP} netns add b && {IP} {underlay}"
        ));
        for side in Side::BOTH {
            let (name, provider) = (side.name(), side.provider());
            let on = format!("{IP} -netns {name}");
            hosts.vm.check(&format!(
                "{on} link set lo up && {on} address add {provider}/24 dev eth1 && {on} link set eth1 up"
            ));
            hosts.write_topology(side);
            let file = format!("/root/{name}.yaml");
            hosts.start(side, &file);
            // A guest's kernel sends multicasts by itself if it has IPv6.
            let setting = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6";
            hosts.exec(side, &format!("sh -c 'echo 1 > {setting}'"));
        }
        hosts.prepare_transfers();
        hosts
    }

    /// Starts an agent, which must succeed. Only the network of the host is another: what the
    /// agent pins and mounts is to outlive it.
    pub(crate) fn start(&mut self, side: Side, arguments: &str) -> Status {
        self.json(side, &format!("up --detach {arguments}"))
    }

    /// Runs `clearway` on a host.
    #[track_caller]
    pub(crate) fn run(&mut self, side: Side, arguments: &str) -> Ran {
        self.vm.run(&clearway(side, arguments))
    }

    /// The answer to a command that must succeed.
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&mut self, side: Side, arguments: &str) -> T {
        let ran = self.run(side, &format!("--output json {arguments}"));
        assert_eq!(ran.status, 0, "{arguments}: {}", ran.said());
        ran.read()
    }

    /// Runs a program in a host's guest, which must succeed.
    #[track_caller]
    pub(crate) fn exec(&mut self, side: Side, command: &str) -> String {
        self.vm.check(&clearway(side, &side.exec(command)))
    }

    pub(crate) fn stats(&mut self, side: Side) -> NicStats {
        self.json(side, &format!("nic stats {}", side.guest()))
    }

    pub(crate) fn nic(&mut self, side: Side) -> NicSummary {
        let mut nics: Vec<NicSummary> = self.json(side, "nic list");
        assert_eq!(nics.len(), 1, "{nics:?}");
        nics.remove(0)
    }

    /// What a guest's frames were dropped for, and how many.
    pub(crate) fn dropped(&mut self, side: Side, reason: &str) -> u64 {
        let rows: Vec<DropRow> = self.json(side, "drops");
        let rows = rows.iter().filter(|row| row.reason == reason);
        rows.map(|row| row.packets).sum()
    }

    /// Takes the accelerated path of a guest away, or gives it back: `revoke`, `restore`. Which
    /// path it has then.
    pub(crate) fn vf(&mut self, action: &str, side: Side) -> String {
        let state: VfState = self.json(side, &format!("vf {action} {}", side.guest()));
        state.observed
    }

    /// Waits until a counter of a guest has grown by so much.
    #[track_caller]
    pub(crate) fn await_growth(
        &mut self,
        side: Side,
        what: &str,
        counter: impl Fn(&NicStats) -> u64,
        by: u64,
    ) {
        let goal = counter(&self.stats(side)) + by;
        let arguments = format!("--output json nic stats {}", side.guest());
        self.vm.eventually(what, |vm| {
            let ran = vm.run(&clearway(side, &arguments));
            (counter(&ran.read()) >= goal).then_some(())
        });
    }

    /// Takes both down. Nothing may be left.
    #[track_caller]
    pub(crate) fn down(mut self) {
        for side in Side::BOTH {
            let ran = self.run(side, "down");
            assert_eq!(ran.status, 0, "{}", ran.said());
            let name = side.name();
            let links = self.vm.check(&format!("{IP} -netns {name} -brief link"));
            let links: Vec<_> = links
                .lines()
                .filter_map(|line| line.split(['@', ' ']).next())
                .collect();
            assert_eq!(links, ["lo", "eth1"]);
            let filters = format!("{TC} -netns {name} filter show dev eth1 ingress");
            assert_eq!(self.vm.check(&filters), "");
            // Its log stays, for whoever wants to know.
            for place in [
                format!("/sys/fs/bpf/clearway/{name}"),
                format!("/var/lib/clearway/{name}"),
                format!("/run/clearway/{name}/agent.sock"),
            ] {
                let gone = self.vm.run(&format!("test -e {place}"));
                assert_eq!(gone.status, 1, "{place} is left");
            }
        }
        assert_eq!(self.vm.check("ls /run/netns"), "a\nb\n");
    }

    fn write_topology(&mut self, side: Side) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/two-hosts");
        let name = side.name();
        let text = std::fs::read(folder.join(format!("host-{name}.yaml"))).unwrap();
        self.vm.write(&format!("/root/{name}.yaml"), &text);
    }
}

/// A command line that runs `clearway` on a host.
pub(crate) fn clearway(side: Side, arguments: &str) -> String {
    let name = side.name();
    format!("nsenter --net=/run/netns/{name} clearway --instance {name} {arguments}")
}
