//! The host's own settings, its uplink, and the addresses that live on other hosts.

use super::extract::Cursor;
use super::{Mapping, Uplink, keys, values};
use crate::diagnostics::{Code, Sink};
use crate::topology::{HostSettings, TimeoutSettings};
use crate::validate::limits;

pub(super) fn read(cursor: &Cursor<'_>, sink: &mut Sink) -> HostSettings {
    let fields = cursor.fields(keys::HOST, sink);
    let rate = |name, sink: &mut Sink| {
        let rate = fields
            .get(name)
            .and_then(|cursor| cursor.integer(limits::RATES, sink));
        rate.map(|rate| rate.value)
    };
    let flows = fields.get("flows");
    let flows_per_nic = fields.get("flowsPerNic");
    HostSettings {
        flows: flows
            .and_then(|cursor| cursor.integer(limits::FLOWS, sink))
            .map(|flows| flows.value),
        flows_per_nic: flows_per_nic
            .and_then(|cursor| cursor.integer(limits::FLOWS_PER_NIC, sink))
            .map(|flows| flows.value),
        exceptions_per_second: rate("exceptionsPerSecond", sink),
        resimulations_per_second: rate("resimulationsPerSecond", sink),
        timeouts: fields
            .get("timeouts")
            .map(|cursor| timeouts(&cursor, sink))
            .unwrap_or_default(),
    }
}

fn timeouts(cursor: &Cursor<'_>, sink: &mut Sink) -> TimeoutSettings {
    let fields = cursor.fields(keys::TIMEOUTS, sink);
    let mut of = |name| {
        fields
            .get(name)
            .and_then(|cursor| values::duration_ms(&cursor, sink))
    };
    TimeoutSettings {
        tcp_handshake_ms: of("tcpHandshake"),
        tcp_established_ms: of("tcpEstablished"),
        tcp_closing_ms: of("tcpClosing"),
        idle_ms: of("idle"),
        icmp_ms: of("icmp"),
        drop_ms: of("drop"),
        fragment_ms: of("fragment"),
    }
}

pub(super) fn read_uplink(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<Uplink> {
    let fields = cursor.fields(keys::UPLINK, sink);
    let interface = fields.required("interface", sink).and_then(|cursor| {
        // IFNAMSIZ counts the terminating zero.
        cursor.scalar(
            "the name of a network interface, 1 to 15 characters",
            sink,
            |text| {
                let good = (1..=15).contains(&text.len())
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
                    && text != "."
                    && text != "..";
                if good {
                    Ok(text.to_owned())
                } else {
                    Err(String::new())
                }
            },
        )
    });
    let address = fields
        .required("providerAddress", sink)
        .and_then(|cursor| values::address(&cursor, sink));
    let vxlan_port = match fields.get("vxlanPort") {
        Some(cursor) => cursor.integer(limits::VXLAN_PORTS, sink)?.value,
        None => limits::VXLAN_PORT_DEFAULT,
    };
    let provider_address = address?;
    if provider_address.value.is_unspecified() || provider_address.value.is_multicast() {
        let message = "a provider address that no host can have";
        sink.error(&provider_address.place, Code::Address, message);
        return None;
    }
    Some(Uplink {
        interface: interface?.value,
        provider_address,
        vxlan_port,
    })
}

pub(super) fn read_mappings(cursor: &Cursor<'_>, sink: &mut Sink) -> Vec<Mapping> {
    let items = cursor.items("mappings", sink);
    items
        .iter()
        .filter_map(|cursor| mapping(cursor, sink))
        .collect()
}

fn mapping(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<Mapping> {
    let fields = cursor.fields(keys::MAPPING, sink);
    let vnet = fields
        .required("vnet", sink)
        .and_then(|cursor| cursor.text("the name of a virtual network", sink));
    let address = fields
        .required("address", sink)
        .and_then(|cursor| values::address(&cursor, sink));
    let provider = fields
        .required("provider", sink)
        .and_then(|cursor| values::address(&cursor, sink));
    let mac = fields
        .required("mac", sink)
        .and_then(|cursor| values::mac(&cursor, sink));
    let use_destination_vni = fields.boolean("useDestinationVni", true, sink);
    Some(Mapping {
        use_destination_vni,
        vnet: vnet?,
        address: address?,
        provider: provider?,
        mac: mac?,
    })
}
