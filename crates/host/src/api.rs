//! What the agent and its clients say to each other: JSON over HTTP on a Unix socket.
//!
//! | method and path | takes | gives |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `POST /v1/apply` | [`ApplyRequest`] | [`ApplyResult`] |
//! | `GET /v1/nics` | | `[`[`NicSummary`]`]` |
//! | `GET /v1/nics/{guest}/{nic}` | | [`NicDetail`] |
//! | `GET /v1/nics/{guest}/{nic}/stats` | | [`NicStats`] |
//! | `GET /v1/nics/{guest}/{nic}/flows` | `?notOffloaded=true&limit=N` | [`FlowList`] |
//! | `POST /v1/nics/{guest}/{nic}/vf` | [`VfRequest`] | [`VfState`] |
//! | `POST /v1/explain` | [`ExplainRequest`] | [`vswitch::Explanation`] |
//! | `GET /v1/drops` | | `[`[`DropRow`]`]` |
//! | `GET /v1/drops/follow` | | [`DropEvent`], one a line, until the client leaves |
//! | `GET /v1/nics/{guest}/{nic}/capture` | `?dropsOnly=true` | a pcap file, until the client leaves |
//! | `GET /v1/guests/{guest}` | | [`GuestView`] |
//! | `POST /v1/guests/{guest}/attach` | [`AttachRequest`] | [`GuestView`] |
//! | `POST /v1/down` | | [`Status`], and the agent removes everything it made and ends |
//!
//! Errors come as [`ApiError`] with a status of 4xx or 5xx. A NIC is `guest/nic`; where a guest has
//! one NIC, clients may name the guest alone and ask for the NIC `-`.

use serde::{Deserialize, Serialize};

/// What went wrong, in the shape the cloud's APIs use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiError {
    /// The error.
    pub error: ApiErrorBody,
}

/// Code and message of an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiErrorBody {
    /// For programs: `NicNotFound`, `InvalidTopology`, …
    pub code: String,
    /// For people: what was found, where, what is allowed and what to do.
    pub message: String,
    /// The single findings of a document that does not validate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<model::Diagnostic>,
}

/// The agent as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The instance, `default` unless told otherwise.
    pub instance: String,
    /// The agent's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: jiff::Timestamp,
    /// The name the topology gives itself.
    pub topology: Option<String>,
    /// The generation all NICs have.
    pub generation: u32,
    /// The flow engine and its kernel hook, such as `bpf (tcx)`.
    pub engine: String,
    /// NICs that are attached.
    pub nics: usize,
    /// Flow directions held.
    pub flows: u32,
    /// Flows and ports found from an agent before this one.
    pub taken_over: TakenOver,
    /// First packets judged since the start: what established flows never add to.
    pub first_packets: u64,
    /// Frames that were handed to the agent and did not reach it; by reason in [`DropRow`].
    pub exceptions_lost: u64,
    /// How the scheduler treats the agent's data-plane thread.
    pub scheduling: SchedulingView,
    /// Resident memory of the agent in bytes.
    pub resident_bytes: u64,
    /// The way to other hosts, if the topology has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<UplinkView>,
}

/// How the scheduler treats the data-plane thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulingView {
    /// Its class at present.
    pub class: SchedulingClass,
    /// Why it is an ordinary thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Classes of threads (sched(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulingClass {
    /// `SCHED_OTHER`: in turns with all others.
    Ordinary,
    /// `SCHED_RR`: before ordinary threads, because those kept it waiting.
    RealTime,
}

/// The way to other hosts: what is wanted and what is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UplinkView {
    /// The interface.
    pub interface: String,
    /// Our provider address on it.
    pub provider_address: std::net::IpAddr,
    /// The UDP port of VXLAN.
    pub vxlan_port: u16,
    /// `up` or `down`.
    pub state: String,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the state last changed.
    pub since: jiff::Timestamp,
    /// The largest IP packet that the interface takes, as last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub underlay_mtu: Option<u16>,
    /// The largest IP packet that guests can send to other hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Frames off the wire (`fromGuest…`) and to it (`toGuest…`), done by the flow engine.
    pub accelerated: PathStats,
    /// Those done by the switch.
    pub synthetic: PathStats,
    /// Frames off the wire that the engine handed up.
    pub exceptions: u64,
    /// Drops of frames of which it was not found whose they were.
    pub drops: Vec<DropRow>,
}

/// What a restarted agent found.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenOver {
    /// Ports that were attached.
    pub ports: usize,
    /// Flow directions that were installed.
    pub flows: usize,
}

/// A topology to become the desired state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyRequest {
    /// The document.
    pub source: String,
    /// What to call it in messages.
    pub file_name: String,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Judge established connections by the new rules too.
    #[serde(default)]
    pub reevaluate: bool,
}

/// What applying did, or would do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyResult {
    /// Whether it was done.
    pub applied: bool,
    /// The difference.
    pub changes: Vec<model::Change>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<model::Diagnostic>,
    /// NICs that could not be made real and why, and why the uplink is down; the rest is in force.
    #[serde(default)]
    pub problems: Vec<String>,
    /// The generation now in force.
    pub generation: u32,
}

/// A NIC in a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NicSummary {
    /// `guest/nic`.
    pub name: String,
    /// The guest's kind: `netns`, `tap`, `attached`.
    pub kind: String,
    /// `vnet/subnet`.
    pub subnet: String,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// Its Ethernet address.
    pub mac: String,
    /// The device on the host's side.
    pub device: Option<String>,
    /// The accelerated path: what is wanted and what is.
    pub vf: VfState,
    /// Flow directions keyed at it.
    pub flows: u32,
}

/// The accelerated path of a NIC: desired and observed, and why they differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VfState {
    /// `acceleratedNetworking` in the topology.
    pub desired: bool,
    /// Who serves it: `accelerated`, `synthetic` or `down`.
    pub observed: String,
    /// Why it is not accelerated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the observed state last changed.
    pub since: jiff::Timestamp,
}

/// A NIC with all its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NicDetail {
    /// The line of the list.
    #[serde(flatten)]
    pub summary: NicSummary,
    /// The switch port.
    pub port: u16,
    /// The largest IP packet it takes.
    pub mtu: u16,
    /// Whether it may forward packets that are not its own.
    pub ip_forwarding: bool,
    /// The groups it is a member of.
    pub asgs: Vec<String>,
    /// The generation of the policy in force.
    pub policy_generation: u32,
    /// The generation its established flows follow.
    pub path_generation: u32,
    /// Effective rules, in the API's shape.
    pub effective_nsg: serde_json::Value,
    /// Effective routes, in the API's shape.
    pub effective_routes: serde_json::Value,
}

/// What a NIC sent and received, and who did the work.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NicStats {
    /// `guest/nic`.
    pub name: String,
    /// Done by the flow engine.
    pub accelerated: PathStats,
    /// Done by the switch.
    pub synthetic: PathStats,
    /// Frames the engine handed up.
    pub exceptions: u64,
    /// Frames the policy was walked for.
    pub first_packets: u64,
    /// Stale flows looked at anew.
    pub resimulations: u64,
    /// Stale frames that went the old way, for the rate of re-simulation was used up.
    pub stale_forwarded: u64,
    /// ARP, neighbour discovery and ICMP errors answered by the switch.
    pub answered: u64,
    /// Drops by reason.
    pub drops: Vec<DropRow>,
}

/// One path's share.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStats {
    /// Frames the guest sent, a super-segment counting once.
    pub from_guest_packets: u64,
    /// Their bytes.
    pub from_guest_bytes: u64,
    /// Frames the guest was sent.
    pub to_guest_packets: u64,
    /// Their bytes.
    pub to_guest_bytes: u64,
}

/// Drops of one NIC, or of the uplink, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropRow {
    /// `guest/nic` of the sender or, of what came from another host, of the receiver; `uplink`
    /// where that was not found, and `host` of frames that did not reach the agent.
    pub nic: String,
    /// The drop reason's name.
    pub reason: String,
    /// Frames.
    pub packets: u64,
    /// Their bytes; 0 where they were not counted.
    pub bytes: u64,
}

/// A frame that was dropped just now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropEvent {
    /// When.
    pub time: jiff::Timestamp,
    /// As in [`DropRow::nic`].
    pub nic: String,
    /// The drop reason's name.
    pub reason: String,
    /// The packet as far as it could be read.
    pub packet: String,
    /// The rule or route that decided, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// The frame's length.
    pub bytes: u32,
    /// Drops before this one that came too fast to be shown; they are counted all the same.
    #[serde(default)]
    pub missed: u64,
}

/// Flows of a NIC.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowList {
    /// `guest/nic`.
    pub nic: String,
    /// How many there are, which may be more than are listed.
    pub total: usize,
    /// Those asked for.
    pub flows: Vec<FlowRow>,
}

/// One direction of a flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowRow {
    /// The packet it matches.
    pub flow: String,
    /// Where such packets come from: `guest` for the NIC's own, `uplink` for another host's.
    #[serde(default)]
    pub from: String,
    /// `forward` opened it, `reverse` answers.
    pub direction: String,
    /// `allow`, or the drop reason.
    pub verdict: String,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The TCP state, if it is TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Frames, on both paths.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Milliseconds since the last one.
    pub idle_ms: u64,
    /// Whether the flow engine executes it.
    pub offloaded: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Take the accelerated path away, or give it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VfRequest {
    /// Which.
    pub action: VfAction,
    /// Why, for those who look later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What to do with a VF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VfAction {
    /// The NIC goes on over the synthetic path.
    Revoke,
    /// Back to the accelerated one.
    Restore,
}

/// A packet to be explained.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainRequest {
    /// `guest/nic`, or a guest with one NIC.
    pub nic: String,
    /// As `tcp 10.0.1.4:40000 -> 10.0.2.4:443`.
    pub packet: String,
    /// Whether it comes from another host for the NIC, instead of from the NIC.
    #[serde(default)]
    pub off_uplink: bool,
}

/// A guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The path of its network namespace, where it has one.
    pub netns: Option<String>,
    /// Its NICs.
    pub nics: Vec<String>,
}

/// The network namespace of a container that someone else started; one of the two.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachRequest {
    /// The path of a namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// A process that is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}
