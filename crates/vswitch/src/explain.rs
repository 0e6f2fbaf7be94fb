//! `explain`: the slow path itself, with an observer. Nothing is decided a second time here.

use flow::{FlowId, FlowKey, PortId, TcpState, Tick, Transposition, Verdict};
use std::net::IpAddr;

use policy::input::{Access, Layer, MappingTarget, NextHop, RouteSource};
use policy::{
    Direction, Judgement, LayerView, MappingView, NicPolicy, Observer, Overridden, RouteRef,
};
use serde::{Deserialize, Serialize};

use crate::follow::{answers_to, is_reevaluation_owed, pair_of};
use crate::judge::{Judge, Rules};
use crate::switch::is_remembered_drop;
use crate::tier_one::is_stale;
use crate::{Switch, admission};

/// A packet that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Its key, and with it the NIC it would come from; with a marked port
    /// ([`PortId::from_uplink`]), the NIC that it would come off the uplink for.
    pub key: FlowKey,
    /// Whether it opens a connection; for TCP, a SYN.
    pub opens: bool,
}

/// What would happen to a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The NIC it comes from, or is for if it comes off the uplink.
    pub nic: String,
    /// Whether it comes off the uplink: then it was routed, and its sender's rules were asked, on
    /// another host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off_uplink: bool,
    /// The packet.
    pub packet: String,
    /// Whether it would get through.
    pub allowed: bool,
    /// The drop reason if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_reason: Option<String>,
    /// The connection it already belongs to: then rules are not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowView>,
    /// The rule layers in the order they were asked, the receiver's after the sender's.
    pub layers: Vec<LayerStep>,
    /// The route and where it led.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathStep>,
    /// What is done to the frame.
    pub transposition: Vec<String>,
}

/// One layer's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerStep {
    /// `outbound` from the sender, `inbound` to the receiver.
    pub direction: String,
    /// Which layer, and by what it applies.
    pub layer: String,
    /// The rule set's name.
    pub set: String,
    /// The rule that decided; none when no rule matched or the packet is exempt.
    pub rule: Option<String>,
    /// Its priority.
    pub priority: Option<u16>,
    /// `Allow`, `Deny` or `AlwaysAllow`.
    pub access: String,
    /// Why no rule was asked, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The route that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStep {
    /// The route table.
    pub table: String,
    /// The route.
    pub route: String,
    /// Its prefix.
    pub prefix: String,
    /// `User`, `VirtualNetworkGateway` or `Default`.
    pub source: String,
    /// Its next hop type, as the API spells it.
    pub next_hop_type: String,
    /// The appliance's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_ip_address: Option<String>,
    /// Why this one: what it won against.
    pub why: String,
    /// Where the mapping led.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
}

/// A flow that is in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowView {
    /// Seconds since its last packet.
    pub idle_seconds: u64,
    /// The TCP state, if it is TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_state: Option<String>,
}

impl Switch {
    /// Walks the slow path for a packet without sending, counting or remembering anything.
    /// None when the port has no policy.
    pub fn explain(&self, probe: &Probe, now: Tick) -> Option<Explanation> {
        let from = probe.key.port();
        let nic = self.policy.nic(from.guest())?;
        let mut explanation = Explanation {
            nic: nic.name.clone(),
            off_uplink: from.is_from_uplink(),
            packet: probe.key.to_string(),
            allowed: false,
            drop_reason: None,
            flow: None,
            layers: Vec::new(),
            path: None,
            transposition: Vec::new(),
        };
        if let Err(reason) = admission::admit(nic, from, probe.key.src(), probe.key.dst()) {
            explanation.drop_reason = Some(reason.name().to_owned());
            return Some(explanation);
        }
        let judge = Judge {
            policy: &self.policy,
            flows: &self.flows,
        };
        let own = self.connection(&judge, nic, probe);
        let found = own.or_else(|| judge.follower(nic, &probe.key, probe.opens));
        let rules = found.map_or(Rules::Apply, |id| self.rules_of(probe, id, own.is_none()));
        explanation.flow = found.and_then(|id| self.view(id, now));
        let mut trace = Trace {
            explanation: &mut explanation,
            name_of: &|port| self.name_of(port),
        };
        let decision = judge.decide(nic, &probe.key, probe.opens, rules, &mut trace);
        let transposition = decision.forward.transposition;
        let reason = transposition.drop_reason();
        explanation.allowed = reason.is_none();
        explanation.drop_reason = reason.map(|reason| reason.name().to_owned());
        explanation.transposition =
            describe(&transposition, &self.name_of(receiver(&transposition)));
        Some(explanation)
    }

    /// The connection a packet belongs to, unless it opens a new one, or the connection follows its
    /// opener to where it is now.
    fn connection(&self, judge: &Judge<'_>, nic: &NicPolicy, probe: &Probe) -> Option<FlowId> {
        let id = self.flows.lookup(&probe.key)?;
        let entry = self.flows.get(id)?;
        let new = probe.opens && probe.key.protocol() == 6;
        let drops = entry.transposition().drop_reason().is_some();
        let leaves = || {
            let pair = pair_of(&self.flows, id);
            pair.filter(|pair| pair.forward.key == probe.key)
                .and_then(|pair| judge.relocated(&pair))
        };
        let stays = !is_stale(&self.policy, nic, &entry.stamp(), drops) || leaves().is_none();
        (!is_remembered_drop(&entry) && !new && stays).then_some(id)
    }

    fn view(&self, id: FlowId, now: Tick) -> Option<FlowView> {
        let entry = self.flows.get(id)?;
        let state: Option<TcpState> = self.flows.tcp_state(id);
        Some(FlowView {
            idle_seconds: now.since(entry.counters().last_seen).as_secs(),
            tcp_state: state.map(|state| state.to_string()),
        })
    }

    /// The rules that still have a say in an established connection: all of them if they are to be
    /// asked again, though not of its answers, which pass or not with the packets they answer.
    /// `moved` says that the packet's sender has, and that its connection has yet to follow.
    fn rules_of(&self, probe: &Probe, id: FlowId, moved: bool) -> Rules {
        let Some(pair) = pair_of(&self.flows, id) else {
            return Rules::Apply;
        };
        let opener = moved || pair.forward.key == probe.key;
        if opener && is_reevaluation_owed(&self.policy, &pair) {
            return Rules::Again;
        }
        Rules::Established {
            answers_to: answers_to(&pair).filter(|_| moved),
        }
    }

    fn name_of(&self, port: PortId) -> String {
        self.policy
            .nic(port)
            .map_or_else(|| port.to_string(), |nic| nic.name.clone())
    }
}

struct Trace<'a> {
    explanation: &'a mut Explanation,
    name_of: &'a dyn Fn(PortId) -> String,
}

impl Observer for Trace<'_> {
    fn layer(&mut self, view: &LayerView<'_>) {
        let rule = view.rule;
        self.explanation.layers.push(LayerStep {
            direction: match view.direction {
                Direction::Outbound => "outbound".to_owned(),
                Direction::Inbound => "inbound".to_owned(),
            },
            layer: match view.layer {
                Layer::SecurityAdmin => "security admin rules".to_owned(),
                Layer::NicGroup => "network security group of the NIC".to_owned(),
                Layer::SubnetGroup => "network security group of the subnet".to_owned(),
            },
            set: view.set.to_owned(),
            rule: rule.map(|rule| rule.name.to_owned()),
            priority: rule.map(|rule| rule.priority),
            access: match (rule.map(|rule| rule.access), view.judgement) {
                (Some(Access::AlwaysAllow), _) => "AlwaysAllow".to_owned(),
                (_, Judgement::Allow) => "Allow".to_owned(),
                (_, Judgement::Deny(_)) => "Deny".to_owned(),
            },
            note: if view.exempt {
                Some("platform addresses are exempt from network security groups".to_owned())
            } else if rule.is_none() {
                Some("no rule matched".to_owned())
            } else {
                None
            },
        });
    }

    fn route(&mut self, _: IpAddr, chosen: &RouteRef<'_>, overridden: Overridden<'_>) {
        if self.explanation.path.is_some() {
            // The route to the appliance that the packet's own route named.
            return;
        }
        let (kind, address) = match chosen.next_hop {
            NextHop::Vnet(_) => ("VnetLocal", None),
            NextHop::Appliance(address) => ("VirtualAppliance", Some(address.to_string())),
            NextHop::Internet => ("Internet", None),
            NextHop::Gateway => ("VirtualNetworkGateway", None),
            NextHop::None => ("None", None),
        };
        let overridden: Vec<String> = overridden
            .map(|route| format!("{} {} ({})", route.name, route.prefix, source(route.source)))
            .collect();
        let why = if overridden.is_empty() {
            "the only match".to_owned()
        } else {
            format!(
                "longest prefix, then User before gateway before Default; won against {}",
                overridden.join(", ")
            )
        };
        self.explanation.path = Some(PathStep {
            table: chosen.table.to_owned(),
            route: chosen.name.to_owned(),
            prefix: chosen.prefix.to_string(),
            source: source(chosen.source).to_owned(),
            next_hop_type: kind.to_owned(),
            next_hop_ip_address: address,
            why,
            destination: None,
        });
    }

    fn mapping(&mut self, view: &MappingView) {
        let Some(path) = &mut self.explanation.path else {
            return;
        };
        path.destination = Some(match view.target {
            None => format!("no NIC has the address {}", view.address),
            Some(MappingTarget::Port(port)) => (self.name_of)(port),
            Some(MappingTarget::Remote { encap, .. }) => {
                format!("host {} by VXLAN {}", encap.outer_dst, encap.vni)
            }
        });
    }
}

fn source(source: RouteSource) -> &'static str {
    match source {
        RouteSource::User => "User",
        RouteSource::Bgp => "VirtualNetworkGateway",
        RouteSource::System => "Default",
    }
}

fn receiver(transposition: &Transposition) -> PortId {
    match transposition.verdict {
        Verdict::Deliver(port) => port,
        Verdict::Uplink | Verdict::Drop(_) => PortId::default(),
    }
}

/// The transposition in words, one step a line.
fn describe(transposition: &Transposition, receiver: &str) -> Vec<String> {
    let mut steps = Vec::new();
    match transposition.verdict {
        Verdict::Drop(reason) => return vec![format!("drop: {reason}")],
        Verdict::Deliver(_) | Verdict::Uplink => {
            steps.push(format!("Ethernet destination {}", transposition.eth_dst));
            steps.push(format!("Ethernet source {}", transposition.eth_src));
        }
    }
    if transposition.decrement_ttl {
        steps.push("TTL minus one".to_owned());
    }
    match (transposition.verdict, transposition.encap) {
        (Verdict::Uplink, Some(encap)) => steps.push(format!(
            "VXLAN {} from {} to {} port {}, MTU {}",
            encap.vni, encap.outer_src, encap.outer_dst, encap.dst_port, transposition.mtu
        )),
        _ => steps.push(format!("deliver to {receiver}, MTU {}", transposition.mtu)),
    }
    steps
}
