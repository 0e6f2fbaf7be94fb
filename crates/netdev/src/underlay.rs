//! IP packets to the underlay in batches: how frames for other hosts leave in software.
//!
//! The packets are whole, from the outer IP header on. Which way they go and to which neighbour is
//! the kernel's to say, by its routes, as for any packet of the host's own; only that they leave by
//! the uplink's link is given, as it is for the eBPF engine's packets. What no route of that link
//! covers counts as being on it, in IPv4.
//!
//! [`reserve_port`] keeps the port of a tunnel from others for as long as its socket is held.

#![expect(unsafe_code, reason = "sendmmsg(2) takes arrays of pointers")]

use std::{
    io, mem,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt},
};

use crate::{
    send::{CHUNK, Refusal},
    socket,
};

/// The most packets of a batch.
pub const BATCH_MAX: usize = 4096;

/// Bytes under way that the kernel counts against the socket: some super-segments in pieces.
const KERNEL_BUFFER: usize = 8 << 20;

/// The least receive buffer the kernel has.
const NO_BUFFER: usize = 0;

/// A raw IP socket that sends whole packets by one link, and receives nothing.
#[derive(Debug)]
pub struct UnderlaySender {
    socket: OwnedFd,
}

/// Packets to be sent, in memory made at construction.
#[derive(Debug)]
pub struct UnderlayBatch {
    memory: Box<[u8]>,
    used: usize,
    entries: Box<[Entry]>,
    count: usize,
}

/// The batch is full; after sending it the packet fits, unless it is longer than the whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("batch of underlay packets has no room for {len} bytes")]
pub struct BatchFull {
    /// Bytes of the packet.
    pub len: usize,
}

/// A packet that the kernel did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedPacket {
    /// Its place in the batch, from zero.
    pub index: usize,
    /// Its bytes.
    pub len: usize,
    /// Why it was not taken. [`Refusal::Other`] says that a route forbids its destination, or, in
    /// IPv6, that none covers it.
    pub why: Refusal,
}

/// Where a packet of a batch lies, and where it goes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    len: usize,
    to: IpAddr,
}

impl Entry {
    const NONE: Entry = Entry {
        start: 0,
        len: 0,
        to: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
}

impl UnderlaySender {
    /// Opens a sender of packets from `source`, an address of this host, by one link of the calling
    /// thread's namespace. Once the link is deleted nothing can be sent any more.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if the address is not the host's, `ENODEV` if there is no such link, `EPERM`
    /// without `CAP_NET_RAW` there.
    pub fn open(source: IpAddr, link_index: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // That protocol makes the socket one whose packets bring their IP header (raw(7)).
        let socket = socket_with(family(source), SocketType::RAW, flags, Some(ipproto::RAW))?;
        silence(&socket)?;
        // Only the host's own administrator may go beyond the host's limit; inside a user
        // namespace the limit has to do.
        if sockopt::set_socket_send_buffer_size_force(&socket, KERNEL_BUFFER).is_err() {
            sockopt::set_socket_send_buffer_size(&socket, KERNEL_BUFFER)?;
        }
        let link = i32::try_from(link_index).map_err(|_| Errno::NODEV)?;
        socket::set_option(
            socket.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTOIFINDEX,
            link,
        )?;
        bind(&socket, &SocketAddr::new(source, 0))?;
        Ok(Self { socket })
    }
}

impl AsFd for UnderlaySender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Takes a UDP port of an address of the calling thread's namespace, so that nobody else gets it.
/// What comes for it is dropped without a word.
///
/// # Errors
/// `EADDRINUSE` if somebody has it, `EADDRNOTAVAIL` if the address is not the host's.
pub fn reserve_port(address: IpAddr, port: u16) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(address), SocketType::DGRAM, flags, None)?;
    silence(&socket)?;
    bind(&socket, &SocketAddr::new(address, port))?;
    Ok(socket)
}

impl UnderlayBatch {
    /// An empty batch for `packets` packets (at most [`BATCH_MAX`], taken as that beyond) of
    /// `bytes` bytes together.
    #[must_use]
    pub fn with_capacity(packets: usize, bytes: usize) -> Self {
        Self {
            memory: vec![0; bytes].into_boxed_slice(),
            used: 0,
            entries: vec![Entry::NONE; packets.min(BATCH_MAX)].into_boxed_slice(),
            count: 0,
        }
    }

    /// Packets in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether so many packets of so many bytes together can be added.
    #[must_use]
    pub fn has_room(&self, packets: usize, bytes: usize) -> bool {
        packets <= self.entries.len() - self.count && bytes <= self.memory.len() - self.used
    }

    /// Adds a packet for the host `to` of up to `len` bytes, which `write` puts into the memory it
    /// is given, and whose true length it returns.
    ///
    /// # Errors
    /// Where the inner result is an error, it is what `write` said, and nothing was added.
    pub fn push<E>(
        &mut self,
        to: IpAddr,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Result<(), E>, BatchFull> {
        let room = self.memory.get_mut(self.used..).unwrap_or_default();
        let Some(memory) = room
            .get_mut(..len)
            .filter(|_| self.count < self.entries.len())
        else {
            return Err(BatchFull { len });
        };
        let written = write(memory).map(|written| written.min(len));
        Ok(written.map(|len| {
            let start = self.used;
            self.entries[self.count] = Entry { start, len, to };
            self.count += 1;
            self.used += len;
        }))
    }

    /// Sends all packets in order and empties the batch. `refused` is told of each packet that the
    /// kernel did not take; those behind it still go. Returns how many it took.
    pub fn send(
        &mut self,
        sender: &UnderlaySender,
        mut refused: impl FnMut(RefusedPacket),
    ) -> usize {
        let (mut done, mut sent) = (0, 0);
        while done < self.count {
            let chunk = &self.entries[done..self.count.min(done + CHUNK)];
            match send_chunk(sender, &self.memory, chunk) {
                // The kernel stops at a packet it refuses, and says why only if it is the first.
                Ok(taken) => {
                    sent += taken;
                    done += taken;
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    refused(RefusedPacket {
                        index: done,
                        len: self.entries[done].len,
                        why: Refusal::from(errno),
                    });
                    done += 1;
                }
            }
        }
        self.clear();
        sent
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        (self.count, self.used) = (0, 0);
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}

/// Makes a socket receive nothing: a filter that keeps no byte of any packet, and no room.
fn silence(socket: &OwnedFd) -> io::Result<()> {
    let mut drop_all = [libc::sock_filter {
        #[expect(clippy::cast_possible_truncation, reason = "BPF_RET | BPF_K is 6")]
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: drop_all.as_mut_ptr(),
    };
    // SAFETY: the option's value is a whole `sock_fprog` of the size given, pointing to the one
    // instruction it speaks of; both are only read, during the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            socket::socklen::<libc::sock_fprog>(),
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    sockopt::set_socket_recv_buffer_size(socket, NO_BUFFER)?;
    Ok(())
}

/// An address of either family as the kernel takes it.
#[derive(Clone, Copy)]
union Address {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Address {
    /// The address, and its length.
    fn of(ip: IpAddr) -> (Address, libc::socklen_t) {
        // A raw socket takes the port for a protocol number, and zero for its own.
        match ip {
            IpAddr::V4(ip) => {
                let v4 = sockaddr_v4(SocketAddrV4::new(ip, 0));
                (Address { v4 }, socket::socklen::<libc::sockaddr_in>())
            }
            IpAddr::V6(ip) => {
                let v6 = sockaddr_v6(SocketAddrV6::new(ip, 0, 0, 0));
                (Address { v6 }, socket::socklen::<libc::sockaddr_in6>())
            }
        }
    }
}

fn sockaddr_v4(address: SocketAddrV4) -> libc::sockaddr_in {
    #[expect(clippy::cast_possible_truncation, reason = "AF_INET is 2")]
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn sockaddr_v6(address: SocketAddrV6) -> libc::sockaddr_in6 {
    #[expect(clippy::cast_possible_truncation, reason = "AF_INET6 is 10")]
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr {
            s6_addr: address.ip().octets(),
        },
        sin6_scope_id: 0,
    }
}

/// One system call for at most [`CHUNK`] packets; how many the kernel took.
fn send_chunk(sender: &UnderlaySender, memory: &[u8], chunk: &[Entry]) -> Result<usize, Errno> {
    let mut parts = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; CHUNK];
    let (unused, _) = Address::of(Entry::NONE.to);
    let mut addresses = [unused; CHUNK];
    // SAFETY: `mmsghdr` is a C struct of pointers and integers, for which zero is a value.
    let mut messages: [libc::mmsghdr; CHUNK] = unsafe { mem::zeroed() };
    for (((message, part), address), entry) in messages
        .iter_mut()
        .zip(&mut parts)
        .zip(&mut addresses)
        .zip(chunk)
    {
        let packet = &memory[entry.start..entry.start + entry.len];
        // The kernel only reads what the part points to.
        *part = libc::iovec {
            iov_base: packet.as_ptr().cast_mut().cast(),
            iov_len: packet.len(),
        };
        let (to, len) = Address::of(entry.to);
        *address = to;
        message.msg_hdr.msg_name = (&raw mut *address).cast();
        message.msg_hdr.msg_namelen = len;
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most CHUNK")]
    let count = chunk.len().min(CHUNK) as libc::c_uint;
    // SAFETY: the first `count` messages each point to one address of the length given and one
    // part, whose bytes lie in `memory`; all of it is alive, and only read, until the call returns.
    let sent = unsafe {
        libc::sendmmsg(
            sender.socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(sent)
        .map_err(|_| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests;
