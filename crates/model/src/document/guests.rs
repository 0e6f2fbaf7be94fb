//! Guests and their NICs.

use std::path::PathBuf;

use super::extract::{Cursor, Fields};
use super::{Guest, Named, Nic, keys, values};
use crate::diagnostics::{Code, Sink};
use crate::place::At;
use crate::topology::GuestKind;
use crate::validate::limits;

pub(super) fn read(cursor: &Cursor<'_>, sink: &mut Sink) -> Vec<Named<Guest>> {
    let named = cursor.named("guests", sink);
    named
        .into_iter()
        .map(|(name, cursor)| (name, guest(&cursor, sink)))
        .collect()
}

fn guest(cursor: &Cursor<'_>, sink: &mut Sink) -> Guest {
    let fields = cursor.fields(keys::GUEST, sink);
    let kind = match fields.get("kind") {
        Some(cursor) => cursor.choice(sink).unwrap_or(GuestKind::Netns),
        None => GuestKind::Netns,
    };
    let accelerated = fields.boolean("acceleratedNetworking", true, sink);
    Guest {
        kind,
        netns: netns(&fields, kind, sink),
        nics: nics(&fields, accelerated, sink),
    }
}

/// The namespace of an attached guest, when it is already known.
fn netns(fields: &Fields<'_>, kind: GuestKind, sink: &mut Sink) -> Option<PathBuf> {
    let cursor = fields.get("netns")?;
    let path = cursor.scalar("an absolute path like /run/netns/web", sink, |text| {
        if text.starts_with('/') && text.len() < limits::PATH_BYTES_MAX && !text.contains('\0') {
            Ok(PathBuf::from(text))
        } else {
            Err(String::new())
        }
    })?;
    if kind != GuestKind::Attached {
        let message = "`netns` on a guest whose namespace is not somebody else's";
        let help = "it goes with `kind: attached`".to_owned();
        sink.error_help(&cursor.place(), Code::Conflict, message, help);
    }
    Some(path.value)
}

fn nics(fields: &Fields<'_>, accelerated: bool, sink: &mut Sink) -> Vec<Nic> {
    let Some(list) = fields.get("nics") else {
        let name = At {
            value: "nic0".to_owned(),
            place: fields.place.clone(),
        };
        return nic(fields, Some(name), accelerated, sink)
            .into_iter()
            .collect();
    };
    for name in keys::NIC_ONLY {
        if let Some(cursor) = fields.get(name) {
            let message = format!("`{name}` beside `nics`; it belongs to one of them");
            sink.error(&cursor.place(), Code::Conflict, message);
        }
    }
    let items = list.items("NICs", sink);
    if items.is_empty() {
        sink.error(
            &list.place(),
            Code::BadValue,
            "an empty list; one NIC is the least",
        );
    }
    let read = |(index, cursor): (usize, &Cursor<'_>)| {
        let fields = cursor.fields(keys::NIC, sink);
        let name = match fields.get("name") {
            Some(cursor) => cursor.name("a name", sink),
            None => Some(At {
                value: format!("nic{index}"),
                place: fields.place.clone(),
            }),
        };
        let accelerated = fields.boolean("acceleratedNetworking", accelerated, sink);
        nic(&fields, name, accelerated, sink)
    };
    items.iter().enumerate().filter_map(read).collect()
}

fn nic(
    fields: &Fields<'_>,
    name: Option<At<String>>,
    accelerated_networking: bool,
    sink: &mut Sink,
) -> Option<Nic> {
    let subnet = fields
        .required("subnet", sink)
        .and_then(|cursor| subnet_reference(&cursor, sink));
    let listed = fields.many("address");
    let addresses: Vec<_> = listed
        .iter()
        .filter_map(|cursor| values::address(cursor, sink))
        .collect();
    let bad_address = addresses.len() < listed.len();
    let mac = fields.get("mac").map(|cursor| values::mac(&cursor, sink));
    let nsg = fields
        .get("nsg")
        .and_then(|cursor| cursor.text("the name of a group", sink));
    let asgs = values::names(
        fields.many("asgs"),
        "the name of an application group",
        sink,
    );
    let ip_forwarding = fields.boolean("ipForwarding", false, sink);
    let mtu = match fields.get("mtu") {
        Some(cursor) => Some(cursor.integer(limits::MTUS, sink)?.value),
        None => None,
    };
    // A NIC whose own address could not be read must not be given another one.
    if bad_address || matches!(mac, Some(None)) {
        return None;
    }
    Some(Nic {
        name: name?,
        subnet: subnet?,
        addresses,
        mac: mac.flatten(),
        nsg,
        asgs,
        accelerated_networking,
        ip_forwarding,
        mtu,
    })
}

fn subnet_reference(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<At<(String, String)>> {
    cursor.scalar(
        "a subnet like app/web: virtual network, slash, subnet",
        sink,
        |text| {
            let (vnet, subnet) = text.split_once('/').ok_or_else(String::new)?;
            if vnet.is_empty() || subnet.is_empty() || subnet.contains('/') {
                return Err(String::new());
            }
            Ok((vnet.to_owned(), subnet.to_owned()))
        },
    )
}
