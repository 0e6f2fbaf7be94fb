//! Packet sockets and TAP devices.
#![expect(
    unsafe_code,
    reason = "the standard library has no packet sockets and no ioctl"
)]

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::PATIENCE;

/// A frame, and the VLAN tag that was in its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) tag: Option<u16>,
    pub(crate) frame: Vec<u8>,
}

/// A packet socket on one device.
pub(crate) struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Sees what comes in on the device from now on.
    pub(crate) fn open(ifindex: u32) -> PacketSocket {
        // SAFETY: no memory is involved, and the descriptor is checked before it is owned.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: it was just opened and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let on: libc::c_int = 1;
        // SAFETY: the kernel reads an int from `on`.
        let set = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_AUXDATA,
                (&raw const on).cast(),
                length_of::<libc::c_int>(),
            )
        };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
        // SAFETY: all zeroes is a legal address.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET.try_into().unwrap();
        address.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
        address.sll_ifindex = ifindex.cast_signed();
        // SAFETY: the kernel reads a link-layer address from `address`.
        let bound = unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                length_of::<libc::sockaddr_ll>(),
            )
        };
        assert_eq!(bound, 0, "{}", io::Error::last_os_error());
        PacketSocket { fd }
    }

    /// Transmits a frame on the device.
    pub(crate) fn send(&self, frame: &[u8]) {
        // SAFETY: the kernel reads `frame`.
        let sent =
            unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }

    /// The next frame for which `wanted` holds.
    pub(crate) fn receive(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            wait_readable(&self.fd);
            let seen = self.receive_any();
            if wanted(&seen) {
                return seen;
            }
        }
    }

    /// Every frame that has come in so far.
    pub(crate) fn drain(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        while readable(&self.fd, 0) {
            all.push(self.receive_any());
        }
        all
    }

    fn receive_any(&self) -> Seen {
        let (mut frame, mut control) = (vec![0_u8; 65_536], [0_u64; 16]);
        let mut part = libc::iovec {
            iov_base: frame.as_mut_ptr().cast(),
            iov_len: frame.len(),
        };
        // SAFETY: all zeroes is a legal header.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        // SAFETY: the header describes `frame` and `control`, both of which outlive the call.
        let length = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut header, 0) };
        frame.truncate(usize::try_from(length).unwrap());
        // SAFETY: the kernel filled the header, whose control buffer is still there.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        assert!(!first.is_null(), "no auxiliary data");
        // SAFETY: auxiliary data is the only control message that was asked for.
        let auxiliary = unsafe {
            libc::CMSG_DATA(first)
                .cast::<libc::tpacket_auxdata>()
                .read_unaligned()
        };
        let tagged = auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
        Seen {
            tag: tagged.then_some(auxiliary.tp_vlan_tci),
            frame,
        }
    }
}

fn length_of<T>() -> libc::socklen_t {
    size_of::<T>().try_into().unwrap()
}

/// Waits, not for ever, until something can be read.
pub(super) fn wait_readable(fd: &impl AsFd) {
    assert!(readable(fd, PATIENCE.as_secs()), "nothing came");
}

fn readable(fd: &impl AsFd, seconds: u64) -> bool {
    let timeout = Timespec {
        tv_sec: seconds.cast_signed(),
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).unwrap() == 1
}

/// Makes `file`, an open `/dev/net/tun`, the TAP device of this name.
pub(super) fn make_tap(file: &File, name: &str) {
    // SAFETY: all zeroes is a legal request.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (cell, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *cell = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI).try_into().unwrap();
    // SAFETY: TUNSETIFF reads and writes an `ifreq`.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
