//! The other host runs something else: the kernel's VXLAN device, or Open vSwitch.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use netdev::NamespaceName;
use netdev::netns::Namespace;
use tempfile::TempDir;

use super::{DB, DB_MAC, WEB, WEB_MAC, fabric, web_side};
use crate::lab::{
    ALLOW, Connection, Family, Guest, Machine, Transfer, eventually, finish_packets, has_programs,
    run_in,
};

/// The Ethernet address of a virtual network's router, which is the source of what a host delivers.
const ROUTER_MAC: &str = "12:34:56:78:9a:bc";

/// A machine that is not ours, in a namespace of its own.
pub(super) struct RemoteVm {
    name: NamespaceName,
    namespace: Namespace,
}

impl RemoteVm {
    pub(super) fn new() -> RemoteVm {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cwlab-{}-vm{number}", std::process::id());
        let name = NamespaceName::new(&name).unwrap();
        let namespace = Namespace::create(&name).unwrap();
        run_in(&namespace, "ip link set lo up");
        RemoteVm { name, namespace }
    }

    pub(super) fn guest(&self) -> Guest {
        Guest::of(self.namespace.try_clone().unwrap())
    }

    /// Gives it a NIC that is a VXLAN device of the kernel's on a host, and one neighbour: `peer`,
    /// an address with its Ethernet address, behind the host `remote`.
    pub(super) fn start_on(
        &self,
        host: &Machine,
        remote: IpAddr,
        mac: &str,
        address: &str,
        peer: (&str, &str),
    ) {
        let local = host.provider;
        host.ip(&format!(
            "link add vx0 type vxlan id 5000 dstport 4789 local {local} nolearning udp6zerocsumrx"
        ));
        host.ip(&format!(
            "link set vx0 address {mac} mtu 1430 netns {}",
            self.name
        ));
        let (peer, peer_mac) = peer;
        for command in [
            format!("ip address add {address}/16 dev vx0"),
            "ip link set vx0 up".to_owned(),
            format!("bridge fdb append {peer_mac} dev vx0 dst {remote}"),
            format!("ip neigh replace {peer} lladdr {peer_mac} dev vx0 nud permanent"),
        ] {
            run_in(&self.namespace, &command);
        }
    }

    pub(super) fn stop(&self, _host: &Machine) {
        run_in(&self.namespace, "ip link delete vx0");
    }
}

impl Drop for RemoteVm {
    fn drop(&mut self) {
        let _ = Namespace::delete(&self.name);
    }
}

#[test]
fn the_kernels_vxlan_device_is_a_host_like_any_other() {
    for family in [Family::V4, Family::V6] {
        let fabric = fabric!(family, 1_500);
        let (web_host, far) = (fabric.host(1), fabric.host(2));
        let vm = RemoteVm::new();
        vm.start_on(&far, web_host.provider, DB_MAC, DB, (WEB, WEB_MAC));
        let web = web_host.agent(&web_side(&web_host, 4_789, far.provider));
        for accelerated in [true, false] {
            if !accelerated {
                web.vf("revoke", &["web-1"]);
            }
            assert_eq!(web.ping("web-1", DB), ALLOW, "{family:?}");
            let to = "10.0.2.4:5432".parse().unwrap();
            let connection = Connection::between(&web.guest("web-1"), &vm.guest(), to);
            let transfer = Transfer::start(&connection);
            transfer.await_progress(8 << 20);
            transfer.finish();
            let to = "10.0.1.4:80".parse().unwrap();
            Connection::between(&vm.guest(), &web.guest("web-1"), to).assert_alive();
        }
        web.down();
    }
}

/// Open vSwitch's user-space datapath, with a database and sockets of its own.
struct OpenVswitch {
    folder: TempDir,
    daemons: Vec<Child>,
}

impl OpenVswitch {
    /// Starts both daemons on a host.
    fn start(host: &Machine) -> OpenVswitch {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let made = Command::new("ovsdb-tool")
            .args([
                "create",
                &at("conf.db"),
                "/usr/share/openvswitch/vswitch.ovsschema",
            ])
            .status()
            .unwrap();
        assert!(made.success());
        let mut switch = OpenVswitch {
            daemons: Vec::new(),
            folder,
        };
        let socket = format!("punix:{}", switch.at("db.sock"));
        switch.spawn(
            host,
            "ovsdb-server",
            &[&switch.at("conf.db"), "--remote", &socket],
        );
        eventually("the database answers", || {
            PathBuf::from(switch.at("db.sock")).exists().then_some(())
        });
        switch.vsctl(host, "--no-wait init");
        let database = format!("unix:{}", switch.at("db.sock"));
        switch.spawn(host, "ovs-vswitchd", &[&database]);
        switch
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn spawn(&mut self, host: &Machine, program: &str, args: &[&str]) {
        let mut command = Command::new(program);
        command
            .args(args)
            .arg(format!("--unixctl={}", self.at(&format!("{program}.ctl"))))
            .args(["-vconsole:off", "-vsyslog:off"])
            .env("OVS_RUNDIR", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        self.daemons.push(host.spawn(&mut command));
    }

    /// Changes its configuration; waits until the switch has followed, but for `--no-wait`.
    #[track_caller]
    fn vsctl(&self, host: &Machine, command: &str) {
        let database = format!("--db=unix:{}", self.at("db.sock"));
        let mut program = Command::new("ovs-vsctl");
        program
            .args([database.as_str(), "--timeout=10"])
            .args(command.split_whitespace())
            .env("OVS_RUNDIR", self.folder.path());
        let status = host.spawn(&mut program).wait().unwrap();
        assert!(status.success(), "ovs-vsctl {command}");
    }
}

impl Drop for OpenVswitch {
    fn drop(&mut self) {
        for mut daemon in self.daemons.drain(..).rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn open_vswitch_is_a_host_like_any_other() {
    let test = "lab_hosts::interop::open_vswitch_is_a_host_like_any_other";
    if !has_programs(test, &["ovs-vswitchd"]) {
        return;
    }
    let fabric = fabric!(Family::V4, 1_500);
    let (web_host, far) = (fabric.host(1), fabric.host(2));
    fabric.finish_packets_to(2);
    let vm = RemoteVm::new();
    let switch = OpenVswitch::start(&far);
    // The tunnel's packets leave by a bridge that has the provider address and the interface.
    let (local, gateway) = (far.provider, far.gateway);
    far.ip("link add vm0 type veth peer name eth0");
    far.ip(&format!(
        "link set eth0 address {DB_MAC} mtu 1430 netns {}",
        vm.name
    ));
    far.ip("link set vm0 up");
    far.ip(&format!("address flush dev {}", crate::lab::UPLINK));
    switch.vsctl(
        &far,
        "add-br phy -- set bridge phy datapath_type=netdev -- add-port phy up0",
    );
    far.ip(&format!("address add {local}/24 dev phy"));
    far.ip("link set phy up");
    far.ip(&format!("route replace default via {gateway}"));
    let remote = web_host.provider;
    switch.vsctl(
        &far,
        &format!(
            "add-br int -- set bridge int datapath_type=netdev -- add-port int vm0 -- add-port int \
             vx0 -- set interface vx0 type=vxlan options:remote_ip={remote} options:key=5000"
        ),
    );
    for command in [
        format!("ip address add {DB}/16 dev eth0"),
        "ip link set eth0 up".to_owned(),
        format!("ip neigh replace {WEB} lladdr {WEB_MAC} dev eth0 nud permanent"),
        format!("ip neigh replace 10.0.255.254 lladdr {ROUTER_MAC} dev eth0 nud permanent"),
    ] {
        run_in(&vm.namespace, &command);
    }
    finish_packets(&vm.namespace, "eth0");
    let web = web_host.agent(&web_side(&web_host, 4_789, far.provider));
    eventually("the first ping passes", || {
        (web.exec("web-1", &format!("ping -n -c 1 -W 0.3 {DB}")).code == Some(0)).then_some(())
    });
    for accelerated in [true, false] {
        if !accelerated {
            web.vf("revoke", &["web-1"]);
        }
        let to = "10.0.2.4:5432".parse().unwrap();
        let connection = Connection::between(&web.guest("web-1"), &vm.guest(), to);
        let transfer = Transfer::start(&connection);
        transfer.await_progress(1 << 20);
        transfer.finish();
        let to = "10.0.1.4:80".parse().unwrap();
        Connection::between(&vm.guest(), &web.guest("web-1"), to).assert_alive();
    }
    web.down();
}
