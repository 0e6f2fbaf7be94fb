//! Which frames may be handed to this guest as they are, and which it may hand to us.
//!
//! A frame may travel between guests with its transport checksum yet to be computed, or as a segment
//! yet to be cut, if the receiver's driver negotiated that (virtio 1.2, 5.1.3.1 and 5.1.6).

use wire::virtio_net::HeaderForm;

use crate::features::NetFeatures;

/// What was negotiated about frames, as the data path asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    negotiated: NetFeatures,
}

/// A frame's segment that is yet to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv4.
    Udp4,
    /// UDP over IPv6.
    Udp6,
}

/// How a driver lays out its receive buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveBuffers {
    /// A frame may be spread over any number of them.
    Mergeable,
    /// Each holds the longest segment: 65,562 bytes with header and Ethernet header.
    Big,
    /// Each holds a frame of the MTU: 1,526 bytes unless the MTU says otherwise.
    Small,
}

impl Offloads {
    /// Of the features that were negotiated. A bit without the one it depends on says nothing
    /// (virtio 1.2, 5.1.3.1: a driver must not do so).
    #[must_use]
    pub fn new(features: NetFeatures) -> Self {
        let mut negotiated = features;
        let mut needs = |needed: NetFeatures, by: NetFeatures| {
            if negotiated.both(needed) == NetFeatures(0) {
                negotiated = negotiated.without(by);
            }
        };
        let guest_segments = NetFeatures::GUEST_TSO4
            | NetFeatures::GUEST_TSO6
            | NetFeatures::GUEST_USO4
            | NetFeatures::GUEST_USO6;
        let host_segments = NetFeatures::HOST_TSO4 | NetFeatures::HOST_TSO6 | NetFeatures::HOST_USO;
        needs(NetFeatures::GUEST_CSUM, guest_segments);
        needs(NetFeatures::CSUM, host_segments);
        let guest_tcp = NetFeatures::GUEST_TSO4 | NetFeatures::GUEST_TSO6;
        let host_tcp = NetFeatures::HOST_TSO4 | NetFeatures::HOST_TSO6;
        needs(guest_tcp, NetFeatures::GUEST_ECN);
        needs(host_tcp, NetFeatures::HOST_ECN);
        Self { negotiated }
    }

    /// The virtio-net header before each frame, in both directions.
    #[inline]
    #[must_use]
    pub const fn header_form(self) -> HeaderForm {
        let counted = NetFeatures::VERSION_1.0 | NetFeatures::MRG_RXBUF.0;
        if self.negotiated.0 & counted != 0 {
            HeaderForm::Long
        } else {
            HeaderForm::Short
        }
    }

    /// Whether a frame to the guest may have its checksum yet to be computed.
    #[inline]
    #[must_use]
    pub const fn partial_checksum_to_guest(self) -> bool {
        self.negotiated.has(NetFeatures::GUEST_CSUM)
    }

    /// Whether a segment to the guest may be left uncut; `congestion` if its TCP header has CWR.
    #[inline]
    #[must_use]
    pub const fn segment_to_guest(self, kind: Segmentation, congestion: bool) -> bool {
        let needed = match kind {
            Segmentation::Tcp4 => NetFeatures::GUEST_TSO4,
            Segmentation::Tcp6 => NetFeatures::GUEST_TSO6,
            Segmentation::Udp4 => NetFeatures::GUEST_USO4,
            Segmentation::Udp6 => NetFeatures::GUEST_USO6,
        };
        self.negotiated.has(needed) && (!congestion || self.negotiated.has(NetFeatures::GUEST_ECN))
    }

    /// Whether the guest may send a frame with its checksum yet to be computed.
    #[inline]
    #[must_use]
    pub const fn partial_checksum_from_guest(self) -> bool {
        self.negotiated.has(NetFeatures::CSUM)
    }

    /// Whether the guest may send a segment yet to be cut; `congestion` if its header says ECN.
    #[inline]
    #[must_use]
    pub const fn segment_from_guest(self, kind: Segmentation, congestion: bool) -> bool {
        let needed = match kind {
            Segmentation::Tcp4 => NetFeatures::HOST_TSO4,
            Segmentation::Tcp6 => NetFeatures::HOST_TSO6,
            Segmentation::Udp4 | Segmentation::Udp6 => NetFeatures::HOST_USO,
        };
        self.negotiated.has(needed) && (!congestion || self.negotiated.has(NetFeatures::HOST_ECN))
    }

    /// How the guest lays out its receive buffers (virtio 1.2, 5.1.6.3.1).
    #[must_use]
    pub const fn receive_buffers(self) -> ReceiveBuffers {
        let segments = NetFeatures::GUEST_TSO4.0
            | NetFeatures::GUEST_TSO6.0
            | NetFeatures::GUEST_USO4.0
            | NetFeatures::GUEST_USO6.0;
        if self.negotiated.has(NetFeatures::MRG_RXBUF) {
            ReceiveBuffers::Mergeable
        } else if self.negotiated.0 & segments != 0 {
            ReceiveBuffers::Big
        } else {
            ReceiveBuffers::Small
        }
    }
}

#[cfg(test)]
mod tests;
