use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::fs::Mode;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::{Backoff, Connection, Endpoint, ListenError, Listener, STALL_MAX, TransportError};
use crate::protocol::{FILES_MAX, MessageError, Request, VringFd};

fn pair() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Connection::new(ours.into()).unwrap(), theirs)
}

fn send_with(socket: &UnixStream, bytes: &[u8], files: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(files)));
    }
    let sent = sendmsg(
        socket,
        &[std::io::IoSlice::new(bytes)],
        &mut control,
        SendFlags::empty(),
    );
    assert_eq!(sent, Ok(bytes.len()));
}

fn kick() -> Vec<u8> {
    let file = Some(());
    Request::SetVringKick(VringFd { index: 3, file })
        .encode(false)
        .bytes()
}

/// A pipe's end and, to see whether it was closed, the other one.
fn witness() -> (OwnedFd, std::fs::File) {
    let (reading, writing) = rustix::pipe::pipe().unwrap();
    (writing, reading.into())
}

fn is_closed(mut witness: std::fs::File) -> bool {
    rustix::io::ioctl_fionbio(&witness, true).unwrap();
    matches!(witness.read(&mut [0]), Ok(0))
}

#[test]
fn messages_come_whole_however_they_are_cut() {
    let bytes = kick();
    for cut in 1..bytes.len() {
        for with_second in [false, true] {
            let (mut ours, theirs) = pair();
            let now = Instant::now();
            let file = tempfile::tempfile().unwrap();
            let files = [file.as_fd()];
            let (first, second) = if with_second {
                (&[][..], &files[..])
            } else {
                (&files[..], &[][..])
            };
            send_with(&theirs, &bytes[..cut], first);
            assert!(ours.receive(now).unwrap().is_none());
            send_with(&theirs, &bytes[cut..], second);
            let message = ours.receive(now).unwrap().unwrap();
            assert_eq!(message.bytes(), bytes);
            assert_eq!(message.files.len(), 1);
            assert!(ours.receive(now).unwrap().is_none());
        }
    }
}

#[test]
fn messages_keep_their_own_descriptors() {
    let (mut ours, theirs) = pair();
    let now = Instant::now();
    let one = tempfile::tempfile().unwrap();
    let plain = Request::<()>::GetFeatures.encode(false).bytes();
    send_with(&theirs, &plain, &[]);
    send_with(&theirs, &kick(), &[one.as_fd()]);
    send_with(&theirs, &plain, &[]);
    let counts = [(); 3].map(|()| ours.receive(now).unwrap().unwrap().files.len());
    assert_eq!(counts, [0, 1, 0]);
}

#[test]
fn too_many_descriptors_are_closed() {
    let (mut ours, theirs) = pair();
    let (file, seen) = witness();
    let many = [file.as_fd(); FILES_MAX + 8];
    send_with(&theirs, &kick(), &many);
    let received = ours.receive(Instant::now());
    assert_eq!(received.err(), Some(TransportError::TooManyFiles));
    drop((ours, file));
    assert!(is_closed(seen));
}

#[test]
fn descriptors_pile_up_over_one_message_only_so_far() {
    let (mut ours, theirs) = pair();
    let file = tempfile::tempfile().unwrap();
    let mut received = Ok(());
    for byte in kick() {
        send_with(&theirs, &[byte], &[file.as_fd(); 3]);
        received = ours.receive(Instant::now()).map(|_| ());
        if received.is_err() {
            break;
        }
    }
    assert_eq!(received, Err(TransportError::TooManyFiles));
}

#[test]
fn descriptors_of_a_dropped_message_are_closed() {
    let (mut ours, theirs) = pair();
    let (file, seen) = witness();
    send_with(&theirs, &kick()[..5], &[file.as_fd()]);
    drop((theirs, file));
    let received = ours.receive(Instant::now());
    assert_eq!(received.err(), Some(TransportError::Truncated));
    drop(ours);
    assert!(is_closed(seen));
}

#[test]
fn stalled_peer_is_given_up_by_the_callers_clock() {
    let (mut ours, theirs) = pair();
    let start = Instant::now();
    assert!(ours.receive(start).unwrap().is_none());
    assert_eq!(ours.deadline(), None);
    send_with(&theirs, &kick()[..13], &[]);
    let begun = start + Duration::from_secs(60);
    assert!(ours.receive(begun).unwrap().is_none());
    assert_eq!(ours.deadline(), Some(begun + STALL_MAX));
    let almost = begun + STALL_MAX - Duration::from_millis(1);
    assert!(ours.receive(almost).unwrap().is_none());
    let received = ours.receive(begun + STALL_MAX);
    assert_eq!(received.err(), Some(TransportError::Stalled));
}

#[test]
fn closed_and_broken_streams_are_told_apart() {
    let (mut ours, theirs) = pair();
    drop(theirs);
    assert_eq!(
        ours.receive(Instant::now()).err(),
        Some(TransportError::Closed)
    );
    let (mut ours, mut theirs) = pair();
    theirs.write_all(&[0xff; 12]).unwrap();
    let flags = TransportError::Message(MessageError::Flags(u32::MAX));
    assert_eq!(ours.receive(Instant::now()).err(), Some(flags));
}

#[test]
fn peer_that_takes_nothing_is_given_up() {
    let (mut ours, theirs) = pair();
    let start = Instant::now();
    let message = || Request::SetConfig {
        range: crate::protocol::ConfigRange {
            offset: 0,
            size: 256,
            flags: 0,
        },
        bytes: vec![0; 256],
    };
    while !ours.is_blocked() {
        ours.send(message().encode(false), start).unwrap();
    }
    assert_eq!(ours.deadline(), Some(start + STALL_MAX));
    assert_eq!(ours.flush(start + STALL_MAX), Err(TransportError::Stalled));
    let mut overflow = Ok(());
    for _ in 0..100 {
        overflow = ours.send(message().encode(false), start);
    }
    assert_eq!(overflow, Err(TransportError::OutboxFull));
    drop(theirs);
    assert_eq!(ours.flush(start), Err(TransportError::Closed));
}

#[test]
fn replies_and_their_descriptors_survive_a_full_socket() {
    let (mut ours, theirs) = pair();
    let now = Instant::now();
    let mut sent = 0;
    while !ours.is_blocked() {
        let file = Some(tempfile::tempfile().unwrap().into());
        let request = Request::SetVringKick(VringFd { index: 1, file });
        ours.send(request.encode(false), now).unwrap();
        sent += 1;
    }
    let mut other = Connection::new(theirs.into()).unwrap();
    let mut received = 0;
    while received < sent {
        if let Some(message) = other.receive(now).unwrap() {
            assert_eq!(message.files.len(), 1);
            received += 1;
        }
        ours.flush(now).unwrap();
    }
    assert!(!ours.is_blocked() && other.receive(now).unwrap().is_none());
}

#[test]
fn listener_makes_and_removes_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vf.sock");
    let listener = Listener::bind(&path, Mode::from_raw_mode(0o660)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o660);
    assert!(listener.accept().unwrap().is_none());
    let _peer = UnixStream::connect(&path).unwrap();
    assert!(listener.accept().unwrap().is_some());
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn stale_files_are_replaced_and_live_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vf.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let mode = Mode::from_raw_mode(0o600);
    let listener = Listener::bind(&path, mode).unwrap();
    assert!(matches!(
        Listener::bind(&path, mode),
        Err(ListenError::InUse(_))
    ));
    assert!(listener.accept().unwrap().is_some(), "the probe");
    drop(listener);
    std::fs::write(&path, "not a socket").unwrap();
    assert!(matches!(
        Listener::bind(&path, mode),
        Err(ListenError::NotASocket(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"not a socket");
}

#[test]
fn file_of_a_successor_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vf.sock");
    let first = Listener::bind(&path, Mode::from_raw_mode(0o600)).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = Listener::bind(&path, Mode::from_raw_mode(0o600)).unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[test]
fn connector_waits_for_its_peer_at_growing_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut endpoint = Endpoint::connect(&path).unwrap();
    let start = Instant::now();
    let mut tries = 0;
    let mut now = start;
    while now < start + Duration::from_secs(10) {
        assert!(endpoint.poll(now).unwrap().is_none());
        tries += 1;
        assert!(endpoint.poll(now).unwrap().is_none(), "not due");
        now = endpoint.deadline().unwrap();
    }
    assert!((20..=30).contains(&tries), "{tries}");
    assert_eq!(endpoint.last_failure(), Some(rustix::io::Errno::NOENT));
    let listener = UnixListener::bind(&path).unwrap();
    assert!(endpoint.poll(now).unwrap().is_some());
    assert_eq!(endpoint.last_failure(), None);
    listener.accept().unwrap();
}

#[test]
fn healthy_connections_are_made_again_at_once() {
    let start = Instant::now();
    let mut backoff = Backoff::default();
    assert!(backoff.is_due(start));
    backoff.tried(start);
    assert!(!backoff.is_due(start));
    backoff.lost(start, start + Duration::from_millis(1));
    assert!(!backoff.is_due(start + Duration::from_millis(1)));
    backoff.lost(start, start + Backoff::HEALTHY);
    assert!(backoff.is_due(start));
}

#[test]
fn impossible_paths_are_refused() {
    let long = std::path::PathBuf::from("x".repeat(200));
    assert!(matches!(
        Endpoint::connect(&long),
        Err(ListenError::System { .. })
    ));
    let mode = Mode::from_raw_mode(0o600);
    assert!(matches!(
        Endpoint::listen(&long, mode),
        Err(ListenError::System { .. })
    ));
}
