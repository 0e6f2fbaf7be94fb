//! What all AF_PACKET sockets here share: opening, options, and what the kernel says beside a
//! frame (packet(7), Linux uapi `if_packet.h`).

#![expect(
    unsafe_code,
    reason = "packet options and link-layer addresses have no safe form"
)]

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::name::LinkName;

/// A VLAN tag that the kernel took out of a frame (IEEE 802.1Q): the frame's bytes lack it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vlan {
    /// Tag protocol: `0x8100` or `0x88a8`.
    pub tpid: u16,
    /// Priority (3 bits), drop eligible (1), VLAN identifier (12).
    pub tci: u16,
}

/// Bytes that hold all control messages asked for here: auxiliary data and a time stamp.
pub(crate) const CONTROL_LEN: usize = 96;

/// Memory for the control messages of one frame, aligned as they are. Zero where the kernel
/// wrote nothing, which [`parse_control`] takes as the end.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct ControlBuffer(pub(crate) [u8; CONTROL_LEN]);

impl ControlBuffer {
    pub(crate) const EMPTY: Self = Self([0; CONTROL_LEN]);
}

/// What the kernel said beside a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ancillary {
    pub(crate) vlan: Option<Vlan>,
    /// When the kernel received it, since the epoch; only if asked for.
    pub(crate) timestamp: Option<Duration>,
}

/// Frames and drops of a socket since this was last asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketDrops {
    /// Frames that reached the socket, dropped ones included.
    pub seen: u32,
    /// Frames the kernel dropped because the socket's buffer was full.
    pub dropped: u32,
}

/// A packet socket that receives nothing: neither protocol nor link is chosen yet.
pub(crate) fn open_packet() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        flags,
        None,
    )?)
}

/// Starts receiving all protocols on one link.
pub(crate) fn bind_to_link(socket: BorrowedFd<'_>, link_index: u32) -> io::Result<()> {
    if link_index == 0 {
        // The kernel takes 0 for "every link".
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let mut address = link_address(link_index)?;
    #[expect(clippy::cast_possible_truncation, reason = "ETH_P_ALL is 3")]
    {
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    }
    // SAFETY: the address is a whole `sockaddr_ll` and its true size is given.
    let status = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            socklen::<libc::sockaddr_ll>(),
        )
    };
    if status < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The address "out of this link"; the kernel takes everything else from the frame.
pub(crate) fn link_address(link_index: u32) -> io::Result<libc::sockaddr_ll> {
    Ok(libc::sockaddr_ll {
        #[expect(clippy::cast_possible_truncation, reason = "AF_PACKET is 17")]
        sll_family: libc::AF_PACKET as libc::sa_family_t,
        sll_protocol: 0,
        sll_ifindex: i32::try_from(link_index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    })
}

/// Sets an option that is an `int`.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: i32,
    option: i32,
    value: i32,
) -> io::Result<()> {
    // SAFETY: the value is an `int` of the size given, read during the call only.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            socklen::<i32>(),
        )
    };
    if status < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Lets a link receive frames for other addresses for as long as the socket is open.
pub(crate) fn set_promiscuous(socket: BorrowedFd<'_>, link_index: u32) -> io::Result<()> {
    let membership = libc::packet_mreq {
        mr_ifindex: i32::try_from(link_index).map_err(io::Error::other)?,
        #[expect(clippy::cast_possible_truncation, reason = "PACKET_MR_PROMISC is 1")]
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the value is a whole `packet_mreq` of the size given, read during the call only.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const membership).cast(),
            socklen::<libc::packet_mreq>(),
        )
    };
    if status < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Reads and resets the socket's counters.
pub(crate) fn drops(socket: &impl AsFd) -> io::Result<SocketDrops> {
    let mut stats = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut len = socklen::<libc::tpacket_stats>();
    // SAFETY: the kernel writes at most `len` bytes, the size of `stats`, any value being valid.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut stats).cast(),
            &raw mut len,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(SocketDrops {
        seen: stats.tp_packets,
        dropped: stats.tp_drops,
    })
}

/// A request about a link, all zero but for the name.
pub(crate) fn link_request(link: &LinkName) -> libc::ifreq {
    // SAFETY: `ifreq` is a C struct of integers and a union of integers and a pointer, for all of
    // which zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // A name is at most 15 bytes, so the last of the 16 stays zero.
    for (to, from) in request.ifr_name.iter_mut().zip(link.as_str().bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request
}

/// Reads control messages as recvmsg(2) leaves them; what is unknown or cut short is skipped.
pub(crate) fn parse_control(mut control: &[u8]) -> Ancillary {
    const HEADER: usize = mem::size_of::<libc::cmsghdr>();
    const WORD: usize = mem::size_of::<usize>();
    let mut ancillary = Ancillary::default();
    while let Some(len) = control
        .first_chunk::<WORD>()
        .copied()
        .map(usize::from_ne_bytes)
    {
        let Some(message) = control.get(HEADER..len) else {
            break;
        };
        let (Some(level), Some(kind)) = (i32_at(control, WORD), i32_at(control, WORD + 4)) else {
            break;
        };
        match (level, kind) {
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) => ancillary.vlan = vlan_of(message),
            (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) => {
                ancillary.timestamp = timestamp_of(message);
            }
            _ => {}
        }
        // Each message begins at a multiple of the word size.
        let Some(rest) = control.get(len.next_multiple_of(WORD)..) else {
            break;
        };
        control = rest;
    }
    ancillary
}

pub(crate) fn socklen<T>() -> libc::socklen_t {
    #[expect(clippy::cast_possible_truncation, reason = "sizes of small C structs")]
    {
        mem::size_of::<T>() as libc::socklen_t
    }
}

/// From a `struct tpacket_auxdata`.
fn vlan_of(message: &[u8]) -> Option<Vlan> {
    let status =
        i32_at(message, mem::offset_of!(libc::tpacket_auxdata, tp_status))?.cast_unsigned();
    let tci = u16_at(message, mem::offset_of!(libc::tpacket_auxdata, tp_vlan_tci))?;
    let tpid = u16_at(
        message,
        mem::offset_of!(libc::tpacket_auxdata, tp_vlan_tpid),
    )?;
    let has_tpid = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let tpid = if has_tpid { tpid } else { 0x8100 };
    (status & libc::TP_STATUS_VLAN_VALID != 0).then_some(Vlan { tpid, tci })
}

/// From a `struct timespec` of two `long`s.
fn timestamp_of(message: &[u8]) -> Option<Duration> {
    const LONG: usize = mem::size_of::<libc::c_long>();
    let long = |at: usize| -> Option<u64> {
        let bytes = message.get(at..at + LONG)?.try_into().ok()?;
        u64::try_from(libc::c_long::from_ne_bytes(bytes)).ok()
    };
    let nanoseconds = u32::try_from(long(LONG)?)
        .ok()
        .filter(|&n| n < 1_000_000_000)?;
    Some(Duration::new(long(0)?, nanoseconds))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
