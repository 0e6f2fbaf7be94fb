//! Captures: a NIC's frames as its guest sees them, or its drops, as a pcap file.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use model::{GuestKind, NicName};
use netdev::capture::{CaptureOptions, RawSocket};
use netdev::netlink::Netlink;
use netdev::netns::Namespace;
use tokio::sync::mpsc;
use wire::pcap;

use crate::agent::Agent;
use crate::error::RequestError;

/// Bytes kept of a frame: all of the largest super-segment.
const SNAP_LEN: u32 = 262_144;

/// Pieces of the file that wait for a slow client; frames beyond them are lost to the capture, not
/// to the guest.
const PIECES_WAITING_MAX: usize = 512;

/// How soon a capture notices that its client has left.
const POLL: Duration = Duration::from_millis(200);

/// A piece of a capture file.
pub(crate) type Piece = Result<Vec<u8>, io::Error>;

impl Agent {
    /// Everything a NIC sends and receives, on both paths, until the receiver is closed.
    pub(crate) async fn capture(
        &self,
        name: &NicName,
    ) -> Result<mpsc::Receiver<Piece>, RequestError> {
        let socket = self.capture_socket(name).await?;
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || read_frames(&socket, &pieces))
            .context("cannot start the capture")?;
        Ok(receiver)
    }

    /// The same of the NIC's dropped frames only.
    pub(crate) async fn capture_drops(
        self: &Arc<Self>,
        name: &NicName,
    ) -> Result<mpsc::Receiver<Piece>, RequestError> {
        let mut frames = self.watch_drops(Some(name)).await?;
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        let agent = Arc::clone(self);
        tokio::spawn(async move {
            let mut file = File::new();
            let mut alive = pieces.send(file.header()).await.is_ok();
            while alive {
                tokio::select! {
                    () = pieces.closed() => alive = false,
                    frame = frames.recv() => match frame {
                        Some(frame) => {
                            let time = since_epoch(frame.time);
                            let piece = file.record(time, &frame.bytes, frame.len);
                            alive = pieces.send(piece).await.is_ok();
                        }
                        None => alive = false,
                    },
                }
            }
            drop(frames);
            agent.unwatch_drops().await;
        });
        Ok(receiver)
    }

    /// A socket on the device nearest to the guest: there both paths can be seen.
    async fn capture_socket(&self, name: &NicName) -> Result<RawSocket, RequestError> {
        let (kind, mac, device) = {
            let state = self.state.lock().await;
            let topology = &state.desired.topology;
            let guest = topology.guests.get(name.guest());
            let nic = topology.nic(name);
            let (Some(guest), Some(nic)) = (guest, nic) else {
                return Err(RequestError::NicNotFound(name.to_string()));
            };
            (
                guest.kind,
                nic.mac.0,
                self.paths.port_device(state.port(name)?),
            )
        };
        let options = CaptureOptions {
            outgoing: true,
            timestamps: true,
            ..CaptureOptions::default()
        };
        if kind == GuestKind::Tap {
            let namespace = Namespace::current().context("cannot open the host's namespace")?;
            let netlink = Netlink::open(&namespace).map_err(anyhow::Error::from)?;
            let device = netdev::LinkName::new(&device).map_err(anyhow::Error::from)?;
            let index = netlink
                .link_index(&device)
                .await
                .map_err(anyhow::Error::from)?;
            let socket = RawSocket::new(index, &options).context("cannot open the capture")?;
            return Ok(socket);
        }
        let view = self.guest_view(name.guest()).await?;
        let path = view.netns.ok_or_else(|| {
            RequestError::Conflict(format!("guest `{}` has no namespace yet", name.guest()))
        })?;
        let namespace =
            Namespace::open_path(path.as_ref()).with_context(|| format!("cannot open {path}"))?;
        let netlink = Netlink::open(&namespace).map_err(anyhow::Error::from)?;
        let links = netlink.links().await.map_err(anyhow::Error::from)?;
        let link = links
            .into_iter()
            .find(|link| link.mac == Some(mac))
            .ok_or_else(|| {
                RequestError::Conflict(format!("NIC `{name}` has no device in its guest"))
            })?;
        let opened = namespace
            .run_in(|| RawSocket::new(link.index, &options))
            .and_then(|socket| socket)
            .context("cannot open the capture in the guest's namespace")?;
        Ok(opened)
    }
}

fn read_frames(socket: &RawSocket, pieces: &mpsc::Sender<Piece>) {
    let mut file = File::new();
    if pieces.blocking_send(file.header()).is_err() {
        return;
    }
    let mut buffer = vec![0; SNAP_LEN as usize];
    while !pieces.is_closed() {
        match socket.wait(POLL) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        while let Ok(received) = socket.recv(&mut buffer) {
            let time = received
                .timestamp
                .unwrap_or_else(|| since_epoch(SystemTime::now()));
            let piece = file.record(time, &buffer[..received.len], received.frame_len);
            if matches!(
                pieces.try_send(piece),
                Err(mpsc::error::TrySendError::Closed(_))
            ) {
                return;
            }
        }
    }
}

/// A capture file that is handed out piece by piece.
struct File(io::Result<pcap::Writer<Vec<u8>>>);

impl File {
    fn new() -> File {
        File(pcap::Writer::new(Vec::new(), SNAP_LEN))
    }

    /// The file's header.
    fn header(&mut self) -> Piece {
        self.piece(|_| Ok(()))
    }

    /// One more frame, of which the beginning was kept.
    fn record(&mut self, time: Duration, frame: &[u8], original_len: usize) -> Piece {
        self.piece(|writer| writer.write_cut(time, frame, original_len))
    }

    fn piece(&mut self, write: impl FnOnce(&mut pcap::Writer<Vec<u8>>) -> io::Result<()>) -> Piece {
        let writer = self
            .0
            .as_mut()
            .map_err(|error| io::Error::from(error.kind()))?;
        write(writer)?;
        Ok(std::mem::take(writer.get_mut()))
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
