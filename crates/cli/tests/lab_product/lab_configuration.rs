//! Virtual machines that know nothing are told everything: stock clients of Debian and the kernel's
//! own router discovery, behind a TAP.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use crate::lab::{Connection, Lab, Vm, eventually, has_programs, lab};

const TOPOLOGY: &str = "
name: lab
vnets:
  main:
    addressSpace: [10.0.0.0/16, 'fd00:1::/48']
    dnsServers: [10.0.9.53, 'fd00:1:0:9::53']
    subnets:
      near: { prefix: [10.0.0.0/24, 'fd00:1::/64'] }
      far: { prefix: [10.0.1.0/24, 'fd00:1:0:1::/64'] }
guests:
  vm-1: { kind: tap, subnet: main/near, address: [10.0.0.4, 'fd00:1::4'], mtu: 1400 }
  near-1: { subnet: main/near, address: [10.0.0.5, 'fd00:1::5'] }
  far-1: { subnet: main/far, address: [10.0.1.5, 'fd00:1:0:1::5'] }
";

/// Connections to both subnets, one of them by the default route.
fn assert_connected(lab: &Lab, vm: &Vm, servers: [(&str, &str); 2]) {
    for (server, address) in servers {
        let to: SocketAddr = address.parse().unwrap();
        Connection::between(vm.guest(), &lab.guest(server), to).assert_alive();
    }
}

fn assert_connected_v4(lab: &Lab, vm: &Vm) {
    let servers = [("near-1", "10.0.0.5:80"), ("far-1", "10.0.1.5:80")];
    assert_connected(lab, vm, servers);
}

/// What a client's script leaves of name servers, which are forgotten before `act`.
#[track_caller]
fn until_told_servers<T>(vm: &Vm, expected: &str, act: impl FnOnce() -> T) -> T {
    let file = vm.etc("resolv.conf");
    std::fs::write(&file, "").unwrap();
    let done = act();
    until_file_says(&file, expected);
    done
}

#[track_caller]
fn until_file_says(file: &Path, expected: &str) {
    eventually(expected, || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.contains(expected).then_some(())
    });
}

fn assert_all_was_answered(lab: &Lab) {
    assert_eq!(lab.dropped("vm-1", "unanswered-configuration"), 0);
    assert_eq!(lab.dropped("vm-1", "malformed"), 0);
    assert_eq!(lab.dropped("vm-1", "spoofed-ip"), 0);
}

#[test]
fn udhcpc_gets_a_lease_renews_it_and_gives_it_back() {
    fn here() {}
    if !has_programs(std::any::type_name_of_val(&here), &["udhcpc", "unshare"]) {
        return;
    }
    let lab = lab!(TOPOLOGY);
    let vm = Vm::boot(&lab, "vm-1");
    let client = vm.start("udhcpc -f -i eth0 -t 5 -T 1 -A 1 -O mtu");
    vm.until_ip(
        "-4 address show dev eth0",
        "inet 10.0.0.4/24 brd 10.0.0.255",
    );
    vm.until_ip("-4 route show default", "default via 10.0.0.1 dev eth0");
    vm.until_ip("link show dev eth0", "mtu 1400");
    assert_connected_v4(&lab, &vm);
    until_told_servers(&vm, "nameserver 10.0.9.53", || {
        client.signal(Signal::USR1);
    });
    assert_connected_v4(&lab, &vm);
    assert_all_was_answered(&lab);

    client.signal(Signal::USR2);
    eventually("the lease is given back", || {
        let addresses = vm.ip("-4 address show dev eth0");
        (!addresses.contains("10.0.0.4")).then_some(())
    });
    // A release has no answer.
    eventually("the release was seen", || {
        (lab.dropped("vm-1", "unanswered-configuration") == 1).then_some(())
    });
    drop(client);
    drop(vm);
    lab.down();
}

#[test]
fn dhclient_gets_a_lease_and_has_it_confirmed_when_it_starts_again() {
    fn here() {}
    if !has_programs(std::any::type_name_of_val(&here), &["dhclient", "unshare"]) {
        return;
    }
    let lab = lab!(TOPOLOGY);
    let vm = Vm::boot(&lab, "vm-1");
    let (pid, leases) = (lab.file("dhclient.pid"), lab.file("dhclient.leases"));
    let files = format!("-pf {} -lf {}", pid.display(), leases.display());
    let command = format!("dhclient -4 -d -1 {files} eth0");
    for _ in 0..2 {
        // As it starts it forgets what it wrote, and reads that before.
        let _client = until_told_servers(&vm, "nameserver 10.0.9.53", || vm.start(&command));
        let address = "inet 10.0.0.4/24 brd 10.0.0.255";
        vm.until_ip("-4 address show dev eth0", address);
        vm.until_ip("-4 route show default", "default via 10.0.0.1 dev eth0");
        vm.until_ip("link show dev eth0", "mtu 1400");
        assert_connected_v4(&lab, &vm);
        for told in [
            "fixed-address 10.0.0.4;",
            "option dhcp-server-identifier 10.0.0.1;",
            "option dhcp-lease-time 86400;",
            "option interface-mtu 1400;",
            "option rfc3442-classless-static-routes 0,10,0,0,1;",
        ] {
            until_file_says(&leases, told);
        }
    }
    assert_all_was_answered(&lab);
    drop(vm);
    lab.down();
}

#[test]
fn the_kernel_finds_its_router_and_dhclient_its_ipv6_addresses() {
    fn here() {}
    if !has_programs(std::any::type_name_of_val(&here), &["dhclient", "unshare"]) {
        return;
    }
    let lab = lab!(TOPOLOGY);
    let vm = Vm::boot(&lab, "vm-1");
    let router = "default via fe80::63:77ff:fe00:1 dev eth0 proto ra";
    vm.until_ip("-6 route show default", router);
    vm.until_ip("-6 route show", "fd00:1::/64 dev eth0 proto kernel");
    let mtu = vm
        .guest()
        .run(|| std::fs::read_to_string("/proc/sys/net/ipv6/conf/eth0/mtu").unwrap());
    assert_eq!(mtu.trim(), "1400");
    // Nothing was made of the prefix.
    assert_eq!(vm.ip("-6 -o address show dev eth0 scope global"), "");

    let (pid, leases) = (lab.file("dhclient6.pid"), lab.file("dhclient6.leases"));
    let files = format!("-pf {} -lf {}", pid.display(), leases.display());
    let command = format!("dhclient -6 -d -1 {files} eth0");
    for _ in 0..2 {
        let servers = "nameserver fd00:1:0:9::53";
        let _client = until_told_servers(&vm, servers, || vm.start(&command));
        until_file_says(&leases, "iaaddr fd00:1::4 {");
        // Not before duplicate address detection heard nothing does the kernel use it.
        let usable = "-6 -o address show dev eth0 scope global -tentative";
        vm.until_ip(usable, "fd00:1::4/");
        let addresses = vm.ip("-6 -o address show dev eth0 scope global");
        assert_eq!(addresses.lines().count(), 1, "{addresses}");
        let servers = [
            ("near-1", "[fd00:1::5]:80"),
            ("far-1", "[fd00:1:0:1::5]:80"),
        ];
        assert_connected(&lab, &vm, servers);
    }
    assert_all_was_answered(&lab);
    drop(vm);
    lab.down();
}
