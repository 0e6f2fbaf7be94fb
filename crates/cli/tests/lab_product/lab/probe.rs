//! Single packets, and what became of them: `allow`, or the reason of the drop that the sender's
//! NIC counted.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_error;

use super::{Lab, PATIENCE, POLL};

/// What a probe ends with when the packet got through.
pub(crate) const ALLOW: &str = "allow";

impl Lab {
    /// Whether a connection can be opened.
    #[track_caller]
    pub(crate) fn tcp(&self, from: &str, to: &str, address: &str) -> String {
        let address: SocketAddr = address.parse().unwrap();
        let _listener = self.guest(to).listen(address);
        let guest = self.guest(from);
        let mut stream = None;
        self.outcome(from, || {
            let stream = stream.get_or_insert_with(|| guest.begin_connect(address));
            let timeout = Timespec::try_from(POLL).unwrap();
            let mut fds = [PollFd::new(stream, PollFlags::OUT)];
            if poll(&mut fds, Some(&timeout)).unwrap() == 0 {
                return false;
            }
            assert_eq!(
                socket_error(&stream).unwrap(),
                Ok(()),
                "connect to {address}"
            );
            true
        })
    }

    /// Whether a datagram arrives and is answered.
    #[track_caller]
    pub(crate) fn udp(&self, from: &str, to: &str, address: &str) -> String {
        let address: SocketAddr = address.parse().unwrap();
        let server = self.guest(to).udp(address);
        let client = self.guest(from).udp(SocketAddr::new(address.ip(), 0));
        server.set_nonblocking(true).unwrap();
        client.set_nonblocking(true).unwrap();
        let mut sent = false;
        self.outcome(from, || {
            if !sent {
                client.send_to(b"probe", address).unwrap();
                sent = true;
            }
            let mut bytes = [0; 16];
            if let Ok((len, peer)) = server.recv_from(&mut bytes) {
                server.send_to(&bytes[..len], peer).unwrap();
            }
            let answered = client.recv_from(&mut bytes);
            answered.is_ok_and(|(len, peer)| &bytes[..len] == b"probe" && peer == address)
        })
    }

    /// Whether an echo request is answered.
    #[track_caller]
    pub(crate) fn ping(&self, from: &str, address: &str) -> String {
        let address: IpAddr = address.parse().unwrap();
        self.outcome(from, || {
            let ran = self.exec(from, &format!("ping -n -c 1 -W 0.3 {address}"));
            assert_ne!(ran.code, Some(2), "{ran:?}");
            ran.code == Some(0)
        })
    }

    /// The TTL with which an echo reply comes back.
    #[track_caller]
    pub(crate) fn ping_ttl(&self, from: &str, address: &str) -> u8 {
        let ran = self.exec(from, &format!("ping -n -c 1 -W 5 {address}"));
        let ttl = ran
            .stdout
            .split_once("ttl=")
            .and_then(|(_, rest)| rest.split(' ').next());
        ttl.and_then(|ttl| ttl.parse().ok())
            .unwrap_or_else(|| panic!("{ran:?}"))
    }

    /// Calls `arrived` until it says so, or until the NIC counts a drop.
    #[track_caller]
    fn outcome(&self, from: &str, mut arrived: impl FnMut() -> bool) -> String {
        let before = self.drops(from);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if arrived() {
                return ALLOW.to_owned();
            }
            let now = self.drops(from);
            if let Some((reason, _)) = now
                .iter()
                .find(|(reason, n)| before.get(*reason) != Some(n))
            {
                return reason.clone();
            }
            assert!(Instant::now() < deadline, "neither answered nor dropped");
        }
    }
}
