//! What goes wrong around the agent: it is killed, its interface goes away, its port is taken.

use rustix::process::Signal;

use super::{Pair, db_side, fabric, web_side};
use crate::lab::{ALLOW, Family, Transfer, UPLINK, connect, eventually};

#[test]
fn an_agent_killed_in_a_transfer_between_hosts_is_not_missed() {
    let fabric = fabric!(Family::V4, 1_500);
    let mut pair = Pair::on(&fabric, 4_789);
    let connection = connect((&pair.web, "web-1"), (&pair.db, "db-1"), "10.0.2.4:5432");
    let transfer = Transfer::start(&connection);
    transfer.await_progress(4 << 20);
    for lab in [&mut pair.web, &mut pair.db] {
        lab.end_agent(Signal::KILL);
        transfer.await_progress(16 << 20);
        let status = lab.start(&[]);
        assert!(status.taken_over.flows > 0, "{status:?}");
        lab.await_uplink("up");
        transfer.await_progress(16 << 20);
    }
    transfer.finish();
    pair.assert_reachable();
    pair.down();
}

#[test]
fn nothing_is_left_without_an_agent_either() {
    let fabric = fabric!(Family::V4, 1_500);
    let mut pair = Pair::on(&fabric, 4_789);
    pair.assert_open("10.0.2.4");
    pair.web.end_agent(Signal::KILL);
    pair.down();
}

#[test]
fn flows_wait_for_an_interface_that_comes_back() {
    let fabric = fabric!(Family::V4, 1_500);
    let pair = Pair::on(&fabric, 4_789);
    let mut connection = connect((&pair.web, "web-1"), (&pair.db, "db-1"), "10.0.2.4:5432");
    connection.assert_alive();

    pair.web_host.ip(&format!("link set {UPLINK} down"));
    let uplink = pair.web.await_uplink("down");
    assert!(uplink.reason.is_some_and(|why| why.contains("is down")));
    connection.assert_cut(&pair.web, "web-1", "uplink-unavailable");
    pair.web_host.ip(&format!("link set {UPLINK} up"));
    let gateway = pair.web_host.gateway;
    pair.web_host
        .ip(&format!("route replace default via {gateway}"));
    pair.web.await_uplink("up");
    connection.assert_resumed(b"anyone?");

    pair.web_host.ip(&format!("link delete {UPLINK}"));
    let uplink = pair.web.await_uplink("down");
    assert!(
        uplink
            .reason
            .is_some_and(|why| why.contains("is not there"))
    );
    connection.assert_cut(&pair.web, "web-1", "uplink-unavailable");
    fabric.join(&pair.web_host, "again", 24);
    pair.web.await_uplink("up");
    connection.assert_resumed(b"anyone?");
    pair.assert_reachable();
    pair.down();
}

#[test]
fn what_keeps_the_uplink_from_working_is_said() {
    let fabric = fabric!(Family::V4, 1_500);
    let (web_host, db_host) = (fabric.host(1), fabric.host(2));
    web_host.ip("link add taken type vxlan id 7 dstport 4789 local 192.0.1.1");
    web_host.ip("link set taken up");
    let web = web_host.agent(&web_side(&web_host, 4_789, db_host.provider));
    let db = db_host.agent(&db_side(&db_host, 4_789, web_host.provider));
    let reason = web.await_uplink("down").reason.expect("a reason");
    assert!(
        reason.contains("UDP port 4789") && reason.contains("VXLAN device `taken`"),
        "{reason}"
    );
    assert_eq!(web.ping("web-1", "10.0.2.4"), "uplink-unavailable");
    let result: host::api::ApplyResult = {
        let file = web.write(&web_side(&web_host, 4_789, "192.0.2.77"));
        let ran = web.run(vec!["apply", &file, "--yes", "-o", "json"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.read()
    };
    assert!(result.applied);
    assert!(result.problems.iter().any(|text| text.contains("taken")));

    web_host.ip("link delete taken");
    web.await_uplink("up");
    web.apply(&web_side(&web_host, 4_789, db_host.provider), &[]);
    assert_eq!(web.ping("web-1", "10.0.2.4"), ALLOW);

    web_host.ip(&format!("address del 192.0.1.1/24 dev {UPLINK}"));
    let reason = web.await_uplink("down").reason.expect("a reason");
    assert!(
        reason.contains("not the provider address 192.0.1.1"),
        "{reason}"
    );
    web_host.ip(&format!("address add 192.0.1.1/24 dev {UPLINK}"));
    web_host.ip("route replace default via 192.0.1.254");
    web.await_uplink("up");
    eventually("pings pass again", || {
        (web.exec("web-1", "ping -n -c 1 -W 0.3 10.0.2.4").code == Some(0)).then_some(())
    });
    web.down();
    db.down();
}
