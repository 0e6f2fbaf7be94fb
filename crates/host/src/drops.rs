//! Dropped frames as they happen, for people and programs.

use std::sync::Arc;

use flow::{DropReason, FlowKey, PortId};
use jiff::Timestamp;
use model::NicName;
use tokio::sync::mpsc;
use vswitch::{Explanation, Probe};
use wire::vxlan::pop_vxlan;
use wire::{Kind, L4, dissect};

use crate::agent::Agent;
use crate::api::DropEvent;
use crate::dataplane::DroppedFrame;
use crate::error::RequestError;

impl Agent {
    /// Drops of one NIC, or of all, until the receiver is closed.
    pub(crate) async fn watch_drops(
        &self,
        nic: Option<&NicName>,
    ) -> Result<mpsc::Receiver<DroppedFrame>, RequestError> {
        let port = match nic {
            Some(name) => Some(self.state.lock().await.port(name)?),
            None => None,
        };
        let receiver = self
            .plane
            .call(move |plane| plane.watch_drops(port))
            .await?;
        receiver.ok_or_else(|| RequestError::Conflict("too many watch drops already".to_owned()))
    }

    /// Lets the engine drop in place again, if nobody watches.
    pub(crate) async fn unwatch_drops(self: Arc<Self>) {
        // The data plane that is gone watches nothing either.
        let _ = self.plane.call(|plane| plane.release_watchers()).await;
    }

    /// A dropped frame in words, with the rule or route that decided.
    pub(crate) async fn drop_event(&self, frame: &DroppedFrame) -> Result<DropEvent, RequestError> {
        let key = key_of(frame);
        let decided_by = match key {
            Some(key) if decided_by_policy(frame.reason) => {
                let probe = Probe { key, opens: true };
                self.plane
                    .call(move |plane| plane.explain(&probe))
                    .await?
                    .and_then(|e| decider(&e))
            }
            _ => None,
        };
        let state = self.state.lock().await;
        let nic = state
            .snapshot
            .nic(frame.port.guest())
            .map(|nic| nic.name.clone());
        Ok(DropEvent {
            time: Timestamp::try_from(frame.time).unwrap_or_default(),
            nic: nic.unwrap_or_else(|| frame.port.to_string()),
            reason: frame.reason.name().to_owned(),
            packet: describe(frame, key),
            decided_by,
            bytes: u32::try_from(frame.len).unwrap_or(u32::MAX),
            missed: frame.missed,
        })
    }
}

fn decided_by_policy(reason: DropReason) -> bool {
    matches!(
        reason,
        DropReason::AdminDeny
            | DropReason::NsgDenyOutbound
            | DropReason::NsgDenyInbound
            | DropReason::NoRoute
            | DropReason::NoGateway
            | DropReason::NoMapping
            | DropReason::ApplianceUnreachable
            | DropReason::ForwardingDisabled
            | DropReason::RouteLoop
    )
}

fn decider(explanation: &Explanation) -> Option<String> {
    let denied = explanation
        .layers
        .iter()
        .find(|layer| layer.access == "Deny");
    match (denied, &explanation.path) {
        (Some(layer), _) => {
            let rule = layer.rule.as_deref().unwrap_or("no rule");
            Some(format!("{}/{rule} ({})", layer.set, layer.direction))
        }
        (None, Some(path)) => Some(format!("route {} {}", path.route, path.prefix)),
        (None, None) => None,
    }
}

fn key_of(frame: &DroppedFrame) -> Option<FlowKey> {
    let Kind::Ip(ip) = dissect(&frame.bytes).ok()?.kind else {
        return None;
    };
    let (source, destination) = match ip.l4 {
        L4::Tcp { sport, dport, .. } | L4::Udp { sport, dport } => (sport, dport),
        L4::IcmpEcho { ident, .. } => (ident, icmp_type(frame, ip.l4_offset)),
        L4::IcmpOther { .. } | L4::IcmpError { .. } => (0, icmp_type(frame, ip.l4_offset)),
        _ => (0, 0),
    };
    Some(FlowKey::new(
        frame.port,
        ip.src,
        ip.dst,
        ip.proto,
        source,
        destination,
    ))
}

fn icmp_type(frame: &DroppedFrame, offset: usize) -> u16 {
    match frame.bytes.get(offset..offset + 2) {
        Some(&[kind, code]) => u16::from_be_bytes([kind, code]),
        _ => 0,
    }
}

fn describe(frame: &DroppedFrame, key: Option<FlowKey>) -> String {
    if frame.port == PortId::UPLINK
        && let Ok((outer, inner)) = pop_vxlan(&frame.bytes)
    {
        let inner = DroppedFrame {
            port: PortId::UPLINK.from_uplink(),
            bytes: frame.bytes[inner].to_vec(),
            ..frame.clone()
        };
        let (vni, from) = (outer.vni, outer.outer_src);
        return format!(
            "vni {vni} from {from}: {}",
            describe(&inner, key_of(&inner))
        );
    }
    if let Some(key) = key {
        return key.to_string();
    }
    match dissect(&frame.bytes) {
        Ok(dissection) => {
            let what = match dissection.kind {
                Kind::Arp => "arp".to_owned(),
                Kind::Ip(_) => "ip".to_owned(),
                Kind::Other { ethertype } => format!("ethertype {:#06x}", ethertype.0),
            };
            format!("{what} {} -> {}", dissection.src, dissection.dst)
        }
        Err(error) => format!("unreadable: {error}"),
    }
}
