use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::pipe::pipe;

use super::{Notifier, NotifierError};

#[test]
fn signals_are_taken_once() {
    let ours = Notifier::new().unwrap();
    let theirs = Notifier::foreign(ours.share().unwrap()).unwrap();
    assert!(!theirs.take());
    ours.signal();
    ours.signal();
    assert!(theirs.take());
    assert!(!ours.take());
}

#[test]
fn full_counter_blocks_nobody() {
    let blocking = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&blocking, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    let notifier = Notifier::foreign(blocking).unwrap();
    notifier.signal();
    assert!(notifier.take() && !notifier.take());
}

#[test]
fn pipes_will_do() {
    let (reading, writing) = pipe().unwrap();
    let (reading, writing) = (Notifier::foreign(reading), Notifier::foreign(writing));
    let (reading, writing) = (reading.unwrap(), writing.unwrap());
    assert!(!reading.take());
    writing.signal();
    assert!(reading.take());
    for _ in 0..100_000 {
        writing.signal();
    }
}

#[test]
fn files_and_sockets_are_refused() {
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    assert!(matches!(
        Notifier::foreign(file),
        Err(NotifierError::Kind(_))
    ));
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(matches!(
        Notifier::foreign(socket.into()),
        Err(NotifierError::Kind(_))
    ));
}
