use std::fmt;

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal, $text:literal;)+) => {
        /// Why a frame ended here. Every drop has exactly one, with one counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $name = $value,)+
        }

        impl DropReason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name),+];

            /// The reason with this number, as engines store it.
            pub fn from_number(number: u8) -> Option<DropReason> {
                match number {
                    $($value => Some(DropReason::$name),)+
                    _ => None,
                }
            }

            /// The name users see and scripts match, kebab-case and stable.
            pub fn name(self) -> &'static str {
                match self {
                    $(DropReason::$name => $text,)+
                }
            }
        }
    };
}

drop_reasons! {
    /// The frame is no well-formed packet: truncated, or a header that contradicts itself.
    Malformed = 1, "malformed";
    /// Neither IPv4, IPv6 nor ARP; VLAN tags included.
    UnsupportedEthertype = 2, "unsupported-ethertype";
    /// The Ethernet source is not the NIC's address.
    SpoofedMac = 3, "spoofed-mac";
    /// The IP source is not an address of the NIC, and the NIC does not forward.
    SpoofedIp = 4, "spoofed-ip";
    /// An ARP or neighbour message claims an address the NIC does not have.
    SpoofedNeighbour = 5, "spoofed-neighbour";
    /// An address that no packet may carry there: a multicast, loopback or unspecified source.
    InvalidAddress = 6, "invalid-address";
    /// A unicast frame to an address that is not the virtual router's.
    UnknownDestinationMac = 7, "unknown-destination-mac";
    /// A broadcast other than an ARP request.
    Broadcast = 8, "broadcast";
    /// A multicast other than neighbour discovery.
    Multicast = 9, "multicast";
    /// ARP or neighbour discovery for an address the switch does not answer for.
    UnansweredNeighbour = 10, "unanswered-neighbour";
    /// A security admin rule denies it.
    AdminDeny = 11, "admin-deny";
    /// A network security group denies it on its way out of the sender.
    NsgDenyOutbound = 12, "nsg-deny-outbound";
    /// A network security group denies it on its way in to the receiver.
    NsgDenyInbound = 13, "nsg-deny-inbound";
    /// No route, or the route's next hop is None.
    NoRoute = 14, "no-route";
    /// The route leads to the Internet or a gateway, which this host does not have.
    NoGateway = 15, "no-gateway";
    /// The virtual network has no NIC with the destination address.
    NoMapping = 16, "no-mapping";
    /// The route's virtual appliance is no NIC the sender can reach.
    ApplianceUnreachable = 17, "appliance-unreachable";
    /// The next hop's NIC may not forward packets of others.
    ForwardingDisabled = 18, "forwarding-disabled";
    /// The next hop is the sender itself.
    RouteLoop = 19, "route-loop";
    /// A TCP segment that opens nothing and belongs to no connection.
    TcpNoConnection = 20, "tcp-no-connection";
    /// An ICMP error about a packet that no flow of the receiver sent.
    IcmpErrorNoFlow = 21, "icmp-error-no-flow";
    /// A later fragment whose first fragment has not been seen.
    FragmentWithoutFirst = 22, "fragment-without-first";
    /// No room to remember another fragmented packet.
    FragmentTableFull = 23, "fragment-table-full";
    /// The NIC holds as many flows as it may.
    FlowTableFull = 24, "flow-table-full";
    /// TTL or hop limit ran out.
    TtlExpired = 25, "ttl-expired";
    /// Longer than the receiver's MTU and not to be fragmented on the way.
    TooBig = 26, "too-big";
    /// More first packets in a second than the NIC may send.
    ExceptionRateLimited = 27, "exception-rate-limited";
    /// The receiving NIC is not attached, or set down.
    PortDown = 28, "port-down";
    /// The destination is on another host, and this one has no uplink, or it is down.
    UplinkUnavailable = 29, "uplink-unavailable";
    /// The kernel did not take the frame.
    TransmitFailed = 30, "transmit-failed";
    /// Off the uplink, with a VNI that no virtual network of this host has.
    UnknownVni = 31, "unknown-vni";
    /// Off the uplink, from a host on which the virtual network has no NIC: provider address
    /// validation (SEMANTICS D6).
    UnknownProvider = 32, "unknown-provider-address";
    /// The underlay marked congestion on a packet whose sender does not know the mark (RFC 6040,
    /// 4.2).
    CongestionNotEcnCapable = 33, "congestion-not-ecn-capable";
    /// DHCP or a router solicitation in a form that has no answer here.
    UnansweredConfiguration = 34, "unanswered-configuration";
    /// The queue before the agent was full.
    ExceptionQueueFull = 35, "exception-queue-full";
    /// A super-frame of a kind that cannot be handed to the agent: neither TCP's nor UDP's segments.
    UnsupportedOffload = 36, "unsupported-offload";
    /// The receiving guest has offered no buffer for it.
    NoReceiveBuffer = 37, "no-receive-buffer";
}

impl DropReason {
    /// One more than the largest number: the size of a table with a cell for each reason.
    pub const SLOTS: usize = 38;

    /// The number engines store; never zero.
    pub fn number(self) -> u8 {
        self as u8
    }
}

const _: () = assert!(DropReason::ALL.len() + 1 == DropReason::SLOTS);

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Packets and bytes dropped, by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropCounters {
    packets: [u64; DropReason::SLOTS],
    bytes: [u64; DropReason::SLOTS],
}

impl Default for DropCounters {
    fn default() -> Self {
        DropCounters {
            packets: [0; DropReason::SLOTS],
            bytes: [0; DropReason::SLOTS],
        }
    }
}

impl DropCounters {
    /// Counts `packets` frames of `bytes` bytes together.
    pub fn add(&mut self, reason: DropReason, packets: u64, bytes: u64) {
        let slot = usize::from(reason.number());
        self.packets[slot] += packets;
        self.bytes[slot] += bytes;
    }

    /// Packets dropped for this reason.
    pub fn packets(&self, reason: DropReason) -> u64 {
        self.packets[usize::from(reason.number())]
    }

    /// Bytes dropped for this reason.
    pub fn bytes(&self, reason: DropReason) -> u64 {
        self.bytes[usize::from(reason.number())]
    }

    /// The reasons that occurred, with packets and bytes.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64, u64)> + '_ {
        let all = DropReason::ALL.iter();
        all.map(|&reason| (reason, self.packets(reason), self.bytes(reason)))
            .filter(|&(_, packets, _)| packets > 0)
    }

    /// Adds another set of counters to this one.
    pub fn merge(&mut self, other: &DropCounters) {
        for slot in 0..DropReason::SLOTS {
            self.packets[slot] += other.packets[slot];
            self.bytes[slot] += other.bytes[slot];
        }
    }
}

#[cfg(test)]
mod tests;
