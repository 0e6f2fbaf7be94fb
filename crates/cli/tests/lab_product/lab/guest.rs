use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Instant;

use netdev::capture::{CaptureOptions, RawSocket};
use netdev::netlink::Netlink;
use netdev::netns::Namespace;
use netdev::send::{FrameSender, Queueing, SendBatch};
use netdev::{LinkName, VNET_HEADER_LEN};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use wire::MacAddr;

use super::PATIENCE;

/// The network namespace of a guest. Sockets made here are the guest's.
pub(crate) struct Guest(Namespace);

impl Guest {
    pub(crate) fn open(path: &Path) -> Guest {
        Guest(Namespace::open_path(path).unwrap())
    }

    /// Any other namespace.
    pub(crate) fn of(namespace: Namespace) -> Guest {
        Guest(namespace)
    }

    /// Runs `work` inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.0.run_in(work).unwrap()
    }

    /// Changes the guest's own settings.
    pub(crate) fn netlink<T>(&self, work: impl AsyncFnOnce(Netlink) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { work(Netlink::open(&self.0).unwrap()).await })
    }

    /// Listens on a port of all addresses of one family, as it is that of `like`.
    pub(crate) fn listen(&self, like: SocketAddr) -> TcpListener {
        self.run(|| TcpListener::bind(any(like)).unwrap())
    }

    /// A datagram socket on that port of all addresses, likewise.
    pub(crate) fn udp(&self, like: SocketAddr) -> UdpSocket {
        let socket = self.run(|| UdpSocket::bind(any(like)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Begins to connect, and does not wait for the outcome.
    pub(crate) fn begin_connect(&self, to: SocketAddr) -> TcpStream {
        self.run(|| {
            let family = if to.is_ipv4() {
                AddressFamily::INET
            } else {
                AddressFamily::INET6
            };
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = socket_with(family, SocketType::STREAM, flags, None).unwrap();
            match rustix::net::connect(&socket, &to) {
                Ok(()) | Err(Errno::INPROGRESS) => TcpStream::from(socket),
                Err(error) => panic!("connect to {to}: {error}"),
            }
        })
    }

    /// Segments that the guest's TCP had to send again, but for those of which the receiver said
    /// that it had them already (RFC 2883): a busy machine answers late, and loses nothing.
    pub(crate) fn segments_lost(&self) -> u64 {
        self.run(|| {
            let sent_again = kernel_counter("snmp", "Tcp:", "RetransSegs");
            sent_again.saturating_sub(kernel_counter("netstat", "TcpExt:", "TCPDSACKRecvSegs"))
        })
    }

    /// A socket that sends and sees frames as they are on the guest's `eth0`.
    pub(crate) fn wire(&self) -> Wire {
        let index = self.netlink(async |netlink| {
            netlink
                .link_index(&LinkName::new("eth0").unwrap())
                .await
                .unwrap()
        });
        self.run(|| Wire {
            index,
            sender: FrameSender::new(Queueing::Discipline).unwrap(),
            receiver: RawSocket::new(index, &CaptureOptions::default()).unwrap(),
        })
    }
}

/// Frames of a guest, past its own stack.
pub(crate) struct Wire {
    index: u32,
    sender: FrameSender,
    receiver: RawSocket,
}

impl Wire {
    pub(crate) fn send(&self, frame: &[u8]) {
        let mut batch = SendBatch::with_capacity(1, 4_096);
        batch
            .push(self.index, &[0; VNET_HEADER_LEN], &[frame])
            .unwrap();
        batch.send(&self.sender, |refused| panic!("{refused:?}"));
    }

    /// The next frame that comes in for which `wanted` holds.
    pub(crate) fn receive(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 65_536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(self.receiver.wait(left).unwrap(), "no such frame came");
            match self.receiver.recv(&mut buffer) {
                Ok(received) if wanted(&buffer[..received.len]) => {
                    return buffer[..received.len].to_vec();
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A counter of the calling thread's namespace, in one of the files with a line of names and a line
/// of values.
fn kernel_counter(file: &str, line: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    let mut lines = text.lines().filter(|text| text.starts_with(line));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let place = names.split(' ').position(|known| known == name).unwrap();
    values.split(' ').nth(place).unwrap().parse().unwrap()
}

/// An Ethernet address as it is written.
pub(crate) fn mac_of(text: &str) -> MacAddr {
    let octets: Vec<u8> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect();
    MacAddr(octets.try_into().unwrap())
}

fn any(like: SocketAddr) -> SocketAddr {
    let ip = match like {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, like.port())
}
