//! Why bytes are not a packet, and why a packet does not fit its bytes.

use core::fmt;

/// The header an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Header {
    /// Ethernet II.
    Ethernet,
    /// Address resolution over Ethernet and IPv4 (RFC 826).
    Arp,
    /// IPv4 (RFC 791).
    Ipv4,
    /// The fixed IPv6 header (RFC 8200 section 3).
    Ipv6,
    /// An IPv6 extension header (RFC 8200 section 4).
    Ipv6Extension,
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// ICMP for IPv4 (RFC 792).
    Icmpv4,
    /// ICMP for IPv6 (RFC 4443, RFC 4861).
    Icmpv6,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// DHCP for IPv4 (RFC 2131).
    Dhcpv4,
    /// DHCP for IPv6 (RFC 8415).
    Dhcpv6,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ethernet => "Ethernet",
            Self::Arp => "ARP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Ipv6Extension => "IPv6 extension",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Icmpv4 => "ICMPv4",
            Self::Icmpv6 => "ICMPv6",
            Self::Vxlan => "VXLAN",
            Self::Dhcpv4 => "DHCP",
            Self::Dhcpv6 => "DHCPv6",
        })
    }
}

/// Why bytes were refused as a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes end before the header does.
    #[error("{header} header truncated: needs {need} bytes, has {have}")]
    Truncated {
        /// Which header.
        header: Header,
        /// Bytes the header needs.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// A version field that is not the header's own.
    #[error("{header} version {found} unknown")]
    BadVersion {
        /// Which header.
        header: Header,
        /// The version found.
        found: u8,
    },
    /// A header length field below the smallest legal header, or zero where a length is counted.
    #[error("{header} header length of {found} bytes illegal")]
    BadHeaderLength {
        /// Which header.
        header: Header,
        /// The length found, in bytes.
        found: usize,
    },
    /// A total length field that does not even cover its own header.
    #[error("{header} total length of {total} bytes is less than the header's {need}")]
    TotalLengthBelowHeader {
        /// Which header.
        header: Header,
        /// The length found, in bytes.
        total: usize,
        /// The header's length, in bytes.
        need: usize,
    },
    /// A total length field that promises more bytes than were received.
    #[error("{header} total length of {total} bytes exceeds the {have} received")]
    TotalLengthExceedsFrame {
        /// Which header.
        header: Header,
        /// The length found, in bytes.
        total: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// A checksum that does not match.
    #[error("{header} checksum wrong")]
    BadChecksum {
        /// Which header.
        header: Header,
    },
    /// An IPv6 packet with more extension headers than [`crate::ipv6::EXTENSIONS_MAX`].
    #[error("IPv6 packet has more than {max} extension headers")]
    TooManyExtensions {
        /// The limit.
        max: usize,
    },
    /// An IPv6 extension header where it may not be: hop-by-hop options that are not first, a
    /// second fragment header, or a type 0 routing header with segments left (RFC 5095).
    #[error("IPv6 extension header {next_header} not allowed here")]
    BadExtension {
        /// Its protocol number.
        next_header: u8,
    },
    /// A fragment that reaches past 65535 bytes, or that would overwrite the TCP header of the
    /// first fragment (RFC 1858 section 4).
    #[error("fragment at offset {offset} illegal")]
    BadFragment {
        /// Its offset, in bytes.
        offset: u16,
    },
    /// A field whose value this crate has no meaning for.
    #[error("{header} {field} {value} unsupported")]
    BadField {
        /// Which header.
        header: Header,
        /// The field's name in the specification.
        field: &'static str,
        /// The value found.
        value: u32,
    },
}

/// Why a representation could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// The caller's buffer is too small; nothing was written.
    #[error("buffer too small: needs {need} bytes, has {have}")]
    BufferTooSmall {
        /// Bytes the representation needs.
        need: usize,
        /// Bytes the buffer has.
        have: usize,
    },
    /// The payload does not fit the header's length field; nothing was written.
    #[error("{header} payload of {len} bytes exceeds {max}")]
    PayloadTooLong {
        /// Which header.
        header: Header,
        /// The payload's length.
        len: usize,
        /// What the length field can express.
        max: usize,
    },
}

/// The first `need` bytes of `out`, or how many are missing.
pub(crate) fn room(out: &mut [u8], need: usize) -> Result<&mut [u8], EmitError> {
    let have = out.len();
    out.get_mut(..need)
        .ok_or(EmitError::BufferTooSmall { need, have })
}
