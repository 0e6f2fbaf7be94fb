//! Customer addresses move from host to host, and connections with them.

use super::interop::RemoteVm;
use super::{DB, DB_MAC, WEB, WEB_MAC, fabric, web_side};
use crate::lab::{Connection, Family};

#[test]
fn a_connection_follows_its_server_to_a_third_host() {
    let fabric = fabric!(Family::V4, 1_500);
    let hosts = [fabric.host(1), fabric.host(2), fabric.host(3)];
    let [web_host, first, second] = &hosts;
    let vm = RemoteVm::new();
    vm.start_on(first, web_host.provider, DB_MAC, DB, (WEB, WEB_MAC));
    let web = web_host.agent(&web_side(web_host, 4_789, first.provider));
    let to = "10.0.2.4:5432".parse().unwrap();
    let mut there = Connection::between(&web.guest("web-1"), &vm.guest(), to);
    there.assert_alive();
    let to = "10.0.1.4:80".parse().unwrap();
    let mut back = Connection::between(&vm.guest(), &web.guest("web-1"), to);
    back.assert_alive();

    vm.stop(first);
    vm.start_on(second, web_host.provider, DB_MAC, DB, (WEB, WEB_MAC));
    web.apply(&web_side(web_host, 4_789, second.provider), &[]);
    there.assert_alive();
    back.assert_alive();
    // Who is no longer a host of the network is no longer believed.
    assert_eq!(web.uplink_dropped("unknown-provider-address"), 0);
    web.down();
}
