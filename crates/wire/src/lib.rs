//! Packets as bytes and as values: nothing here does I/O, reads a clock or knows a policy.
//!
//! Each header has a *view* (a checked wrapper over `&[u8]`, whose constructor proves every length
//! its accessors rely on) and a *representation* (a value that is legal by construction, with
//! `parse`, `emit` and `buffer_len`). The data path uses neither header by header: it calls
//! [`dissect::dissect`] once a frame and then edits the frame in place at the offsets that call
//! returned.
//!
//! | to do this | use |
//! |---|---|
//! | learn what a frame is, in one pass | [`mod@dissect`] |
//! | edit a frame in place | [`rewrite`], [`checksum`] |
//! | wrap and unwrap tenant frames | [`vxlan`] |
//! | cut a super-segment, finish a checksum a guest left to us | [`gso`], [`virtio_net`] |
//! | answer a guest on behalf of the network | [`icmp_reply`] |
//! | read and write configuration messages | [`dhcpv4`], [`dhcpv6`], [`icmpv6`] |
//! | put headers around a message | [`envelope`] |
//! | make frames for tests and tools | [`compose`] |
//! | write and read traces | [`pcap`] |
//!
//! Limits: frames of one Ethernet header without VLAN tags (tagged frames are reported as
//! [`dissect::Kind::Other`]), [`ipv6::EXTENSIONS_MAX`] extension headers, [`gso::SEGMENTS_MAX`]
//! segments. Only [`compose`] and the errors of [`mac::MacAddr`]'s `FromStr` allocate.
#![forbid(unsafe_code)]

mod error;
mod octets;

pub mod arp;
pub mod checksum;
pub mod compose;
pub mod dhcpv4;
pub mod dhcpv6;
pub mod dissect;
pub mod envelope;
pub mod ethernet;
pub mod gso;
pub mod icmp_reply;
pub mod icmpv4;
pub mod icmpv6;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod mac;
pub mod options;
pub mod pcap;
pub mod rewrite;
pub mod tcp;
pub mod udp;
pub mod virtio_net;
pub mod vxlan;

pub use dissect::{Dissection, IpPacket, Kind, L4, dissect};
pub use error::{EmitError, Header, ParseError};
pub use ip::Family;
pub use mac::MacAddr;
pub use tcp::TcpFlags;
pub use vxlan::Vni;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod roundtrip_tests;
