//! Route tables.

use super::extract::Cursor;
use super::values::{self, parse_prefix};
use super::{Named, Route, RouteTable, RouteTarget, keys};
use crate::diagnostics::Sink;
use crate::place::At;

pub(super) fn read(cursor: &Cursor<'_>, sink: &mut Sink) -> Vec<Named<RouteTable>> {
    let named = cursor.named("route tables", sink);
    let table = |(name, cursor): (At<String>, Cursor<'_>)| {
        let fields = cursor.fields(keys::ROUTE_TABLE, sink);
        let routes = fields
            .get("routes")
            .map(|cursor| cursor.items("routes", sink));
        let table = RouteTable {
            routes: routes
                .unwrap_or_default()
                .iter()
                .filter_map(|cursor| route(cursor, sink))
                .collect(),
            disable_bgp_route_propagation: fields.boolean(
                "disableBgpRoutePropagation",
                false,
                sink,
            ),
        };
        (name, table)
    };
    named.into_iter().map(table).collect()
}

fn route(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<Route> {
    let fields = cursor.fields(keys::ROUTE, sink);
    let name = fields
        .required("name", sink)
        .and_then(|cursor| cursor.name("a name", sink));
    let prefix = fields
        .required("prefix", sink)
        .and_then(|cursor| target(&cursor, sink));
    let next_hop_type = fields.required("nextHopType", sink).and_then(|cursor| {
        let place = cursor.place();
        cursor.choice(sink).map(|value| At { value, place })
    });
    let address = fields.get("nextHopIpAddress");
    let next_hop = match &address {
        Some(cursor) => Some(values::address(cursor, sink)?),
        None => None,
    };
    Some(Route {
        name: name?,
        target: prefix?,
        next_hop_type: next_hop_type?,
        next_hop,
    })
}

fn target(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<RouteTarget> {
    let word = cursor.scalar("a prefix like 10.1.0.0/16 or a service tag", sink, |text| {
        let name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(name) {
            Ok(None)
        } else {
            parse_prefix(text).map(Some)
        }
    })?;
    match word.value {
        Some(prefix) => Some(RouteTarget::Prefix(At {
            value: prefix,
            place: word.place,
        })),
        None => cursor.text("a service tag", sink).map(RouteTarget::Tag),
    }
}
