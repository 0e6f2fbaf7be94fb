//! What the kernel says of a link.

use rtnetlink::packet_route::link::{
    InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State, Stats64,
};

use super::MacAddress;

/// A link as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index, unique in its namespace and never 0.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address; `None` for links without one.
    pub mac: Option<MacAddress>,
    /// The most bytes above the link layer in a frame.
    pub mtu: u32,
    /// `IFF_*` flags of Linux uapi `if.h`.
    pub flags: u32,
    /// The driver's kind, such as `veth` or `tun`; `None` for physical devices and the loopback.
    pub kind: Option<String>,
    /// The UDP port of a VXLAN device.
    pub vxlan_port: Option<u16>,
    /// Whether frames can pass, by RFC 2863.
    pub oper_state: OperState,
    /// Frames the queueing discipline holds.
    pub tx_queue_len: u32,
    /// Number of transmit queues.
    pub tx_queues: u32,
    /// Number of receive queues.
    pub rx_queues: u32,
    /// The index of the link it hangs on: the other end of a veth pair (in that end's
    /// namespace), the parent of a VLAN.
    pub lower_index: Option<u32>,
    /// Its counters.
    pub counters: LinkCounters,
}

/// The operational state of a link (RFC 2863 section 3.1.14, Linux uapi `if.h`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OperState {
    /// The driver does not say; frames pass.
    #[default]
    Unknown,
    /// A part is missing.
    NotPresent,
    /// Frames do not pass.
    Down,
    /// Frames do not pass, because of a link below.
    LowerLayerDown,
    /// In a test.
    Testing,
    /// Waits for something outside, such as authentication.
    Dormant,
    /// Frames pass.
    Up,
}

/// A link's counters, from its start on (`struct rtnl_link_stats64`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames received with an error.
    pub rx_errors: u64,
    /// Frames received and dropped.
    pub rx_dropped: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames not sent because of an error.
    pub tx_errors: u64,
    /// Frames dropped before they were sent.
    pub tx_dropped: u64,
}

impl Link {
    /// Whether it is set up (not whether frames pass).
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags & LinkFlags::Up.bits() != 0
    }

    /// Whether the driver sees a carrier.
    #[must_use]
    pub fn has_carrier(&self) -> bool {
        self.flags & LinkFlags::LowerUp.bits() != 0
    }

    fn read_infos(&mut self, infos: Vec<LinkInfo>) {
        for info in infos {
            match info {
                LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
                LinkInfo::Data(InfoData::Vxlan(data)) => {
                    self.vxlan_port = data.into_iter().find_map(|one| match one {
                        InfoVxlan::Port(port) => Some(port),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
    }
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            flags: message.header.flags.bits(),
            kind: None,
            vxlan_port: None,
            oper_state: OperState::Unknown,
            tx_queue_len: 0,
            tx_queues: 0,
            rx_queues: 0,
            lower_index: None,
            counters: LinkCounters::default(),
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(mac) => link.mac = mac.try_into().ok(),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::OperState(state) => link.oper_state = state.into(),
                LinkAttribute::TxQueueLen(frames) => link.tx_queue_len = frames,
                LinkAttribute::NumTxQueues(queues) => link.tx_queues = queues,
                LinkAttribute::NumRxQueues(queues) => link.rx_queues = queues,
                LinkAttribute::Link(index) => link.lower_index = Some(index),
                LinkAttribute::Stats64(counters) => link.counters = counters.into(),
                LinkAttribute::LinkInfo(infos) => link.read_infos(infos),
                _ => {}
            }
        }
        link
    }
}

impl From<State> for OperState {
    fn from(state: State) -> Self {
        match state {
            State::NotPresent => Self::NotPresent,
            State::Down => Self::Down,
            State::LowerLayerDown => Self::LowerLayerDown,
            State::Testing => Self::Testing,
            State::Dormant => Self::Dormant,
            State::Up => Self::Up,
            _ => Self::Unknown,
        }
    }
}

impl From<Stats64> for LinkCounters {
    fn from(stats: Stats64) -> Self {
        Self {
            rx_packets: stats.rx_packets,
            rx_bytes: stats.rx_bytes,
            rx_errors: stats.rx_errors,
            rx_dropped: stats.rx_dropped,
            tx_packets: stats.tx_packets,
            tx_bytes: stats.tx_bytes,
            tx_errors: stats.tx_errors,
            tx_dropped: stats.tx_dropped,
        }
    }
}
