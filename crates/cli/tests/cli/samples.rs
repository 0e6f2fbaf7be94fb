//! Answers of a small virtual network. Times lie far ahead, so that no age is shown, which would
//! change from run to run.

use host::api::{
    DropEvent, DropRow, FlowList, FlowRow, GuestView, NicDetail, NicStats, NicSummary, PathStats,
    SchedulingClass, SchedulingView, Status, TakenOver, UplinkView, VfState,
};
use jiff::Timestamp;
use serde_json::json;
use vswitch::{Explanation, FlowView, LayerStep, PathStep};

pub(crate) const TOPOLOGY: &str = "name: shop\n";

pub(crate) fn time() -> Timestamp {
    "2199-01-02T03:04:05.000006Z".parse().expect("a time")
}

pub(crate) fn status() -> Status {
    Status {
        instance: "default".to_owned(),
        version: "0.1.0".to_owned(),
        pid: 4_194_305,
        started: time(),
        topology: Some("shop".to_owned()),
        generation: 7,
        engine: "bpf (tcx)".to_owned(),
        nics: 2,
        flows: 12_345,
        taken_over: TakenOver {
            ports: 1,
            flows: 1500,
        },
        first_packets: 98_765,
        exceptions_lost: 1_234_567,
        scheduling: SchedulingView {
            class: SchedulingClass::Ordinary,
            reason: Some("nothing keeps it waiting".to_owned()),
        },
        resident_bytes: 44_564_480,
        uplink: Some(uplink()),
    }
}

fn uplink() -> UplinkView {
    UplinkView {
        interface: "eth1".to_owned(),
        provider_address: "192.0.2.1".parse().expect("an address"),
        vxlan_port: 4789,
        state: "up".to_owned(),
        reason: None,
        since: time(),
        underlay_mtu: Some(1_600),
        mtu: Some(1_550),
        accelerated: PathStats::default(),
        synthetic: PathStats::default(),
        exceptions: 0,
        drops: Vec::new(),
    }
}

pub(crate) fn vf(observed: &str, reason: Option<&str>) -> VfState {
    VfState {
        desired: true,
        observed: observed.to_owned(),
        reason: reason.map(str::to_owned),
        since: time(),
    }
}

pub(crate) fn web() -> NicSummary {
    NicSummary {
        name: "web-1/eth0".to_owned(),
        kind: "netns".to_owned(),
        subnet: "shop/front".to_owned(),
        addresses: ["10.0.1.4", "fd00:1::4"]
            .map(|text| text.parse().expect(text))
            .to_vec(),
        mac: "02:00:00:00:00:04".to_owned(),
        device: Some("cwp1".to_owned()),
        vf: vf("accelerated", None),
        flows: 12_300,
    }
}

pub(crate) fn db() -> NicSummary {
    NicSummary {
        name: "db-1/eth0".to_owned(),
        kind: "attached".to_owned(),
        subnet: "shop/back".to_owned(),
        addresses: vec!["10.0.2.4".parse().expect("an address")],
        mac: "02:00:00:00:00:05".to_owned(),
        device: None,
        vf: vf("synthetic", Some("revoked: firmware update")),
        flows: 45,
    }
}

pub(crate) fn detail() -> NicDetail {
    NicDetail {
        summary: web(),
        port: 1,
        mtu: 1500,
        ip_forwarding: false,
        asgs: vec!["web".to_owned()],
        policy_generation: 7,
        path_generation: 3,
        effective_nsg: json!({"value": [{
            "networkSecurityGroup": {"id": "nsgs/front"},
            "association": {"subnet": {"id": "vnets/shop/subnets/front"}},
            "effectiveSecurityRules": [
                rule("securityRules/allow-https", 100, "Inbound", "Allow", "443-443"),
                rule("defaultSecurityRules/DenyAllInBound", 65500, "Inbound", "Deny", "0-65535"),
            ],
        }]}),
        effective_routes: json!({"value": [
            {
                "name": null, "source": "Default", "state": "Invalid",
                "addressPrefix": ["0.0.0.0/0"], "nextHopType": "Internet",
                "nextHopIpAddress": [],
            },
            {
                "name": "to-firewall", "source": "User", "state": "Active",
                "addressPrefix": ["0.0.0.0/0"], "nextHopType": "VirtualAppliance",
                "nextHopIpAddress": ["10.0.3.4"],
            },
        ]}),
    }
}

fn rule(
    name: &str,
    priority: u16,
    direction: &str,
    access: &str,
    ports: &str,
) -> serde_json::Value {
    json!({
        "name": name, "protocol": "Tcp", "priority": priority,
        "direction": direction, "access": access,
        "sourcePortRange": "0-65535", "sourcePortRanges": ["0-65535"],
        "destinationPortRange": ports, "destinationPortRanges": [ports],
        "sourceAddressPrefix": "Internet", "sourceAddressPrefixes": ["Internet"],
        "destinationAddressPrefixes": [],
        "expandedSourceAddressPrefix": ["0.0.0.0/0"],
        "expandedDestinationAddressPrefix": ["10.0.1.4/32"],
    })
}

pub(crate) fn drop_rows() -> Vec<DropRow> {
    vec![
        drop_row("web-1/eth0", "AclDeny", 1234, 98_304),
        drop_row("web-1/eth0", "Spoof", 1, 60),
    ]
}

/// Those of a NIC, and of frames of which nobody knows whose they were.
pub(crate) fn all_drop_rows() -> Vec<DropRow> {
    let mut rows = drop_rows();
    rows.push(drop_row("host", "exception-queue-full", 7, 0));
    rows
}

fn drop_row(nic: &str, reason: &str, packets: u64, bytes: u64) -> DropRow {
    DropRow {
        nic: nic.to_owned(),
        reason: reason.to_owned(),
        packets,
        bytes,
    }
}

pub(crate) fn drop_event() -> DropEvent {
    DropEvent {
        time: time(),
        nic: "web-1/eth0".to_owned(),
        reason: "AclDeny".to_owned(),
        packet: "tcp 10.0.1.4:40000 -> 10.0.2.4:22".to_owned(),
        decided_by: Some("nsgs/back DenyAllInBound".to_owned()),
        bytes: 74,
        missed: 0,
    }
}

pub(crate) fn stats() -> NicStats {
    let path = |factor: u64| PathStats {
        from_guest_packets: 1_000_000 * factor,
        from_guest_bytes: 1_500_000_000 * factor,
        to_guest_packets: 500_000 * factor,
        to_guest_bytes: 33_000_000 * factor,
    };
    NicStats {
        name: "web-1/eth0".to_owned(),
        accelerated: path(1000),
        synthetic: path(1),
        exceptions: 4321,
        first_packets: 4000,
        resimulations: 12,
        stale_forwarded: 3,
        answered: 77,
        drops: drop_rows(),
    }
}

pub(crate) fn flows() -> FlowList {
    FlowList {
        nic: "web-1/eth0".to_owned(),
        total: 2000,
        flows: vec![
            FlowRow {
                flow: "tcp 10.0.1.4:40000 -> 10.0.2.4:443".to_owned(),
                from: "guest".to_owned(),
                direction: "forward".to_owned(),
                verdict: "allow".to_owned(),
                to: Some("db-1/eth0".to_owned()),
                state: Some("Established".to_owned()),
                packets: 1_234_567,
                bytes: 1_850_000_000,
                idle_ms: 350,
                offloaded: true,
                reason: None,
            },
            FlowRow {
                flow: "udp 10.0.1.4:5000 -> 10.0.2.4:53".to_owned(),
                from: "uplink".to_owned(),
                direction: "forward".to_owned(),
                verdict: "AclDeny".to_owned(),
                to: None,
                state: None,
                packets: 3,
                bytes: 180,
                idle_ms: 185_000,
                offloaded: false,
                reason: Some("the path is revoked".to_owned()),
            },
        ],
    }
}

pub(crate) fn guest(netns: Option<&str>) -> GuestView {
    GuestView {
        name: "web-1".to_owned(),
        kind: if netns.is_some() { "netns" } else { "tap" }.to_owned(),
        netns: netns.map(str::to_owned),
        nics: vec!["web-1/eth0".to_owned()],
    }
}

/// A packet that is let out and not let in.
pub(crate) fn denied() -> Explanation {
    let layer = |direction: &str, rule: Option<(&str, u16)>, access: &str| LayerStep {
        direction: direction.to_owned(),
        layer: "network security group of the subnet".to_owned(),
        set: "nsgs/back".to_owned(),
        rule: rule.map(|(name, _)| name.to_owned()),
        priority: rule.map(|(_, priority)| priority),
        access: access.to_owned(),
        note: rule
            .is_none()
            .then(|| "platform addresses are exempt".to_owned()),
    };
    Explanation {
        nic: "web-1/eth0".to_owned(),
        off_uplink: false,
        packet: "tcp 10.0.1.4:40000 -> 10.0.2.4:22".to_owned(),
        allowed: false,
        drop_reason: Some("AclDeny".to_owned()),
        flow: None,
        layers: vec![
            layer("outbound", None, "Allow"),
            layer("inbound", Some(("DenyAllInBound", 65500)), "Deny"),
        ],
        path: Some(PathStep {
            table: "system".to_owned(),
            route: "shop".to_owned(),
            prefix: "10.0.0.0/16".to_owned(),
            source: "Default".to_owned(),
            next_hop_type: "VnetLocal".to_owned(),
            next_hop_ip_address: None,
            why: "the only match".to_owned(),
            destination: Some("db-1/eth0".to_owned()),
        }),
        transposition: vec!["drop: AclDeny".to_owned()],
    }
}

/// A packet of a connection that is there, by way of an appliance.
pub(crate) fn allowed() -> Explanation {
    let denied = denied();
    Explanation {
        allowed: true,
        drop_reason: None,
        flow: Some(FlowView {
            idle_seconds: 65,
            tcp_state: Some("Established".to_owned()),
        }),
        layers: Vec::new(),
        path: denied.path.map(|path| PathStep {
            next_hop_type: "VirtualAppliance".to_owned(),
            next_hop_ip_address: Some("10.0.3.4".to_owned()),
            ..path
        }),
        transposition: vec![
            "Ethernet destination 02:00:00:00:00:05".to_owned(),
            "deliver to db-1/eth0, MTU 1500".to_owned(),
        ],
        ..denied
    }
}
