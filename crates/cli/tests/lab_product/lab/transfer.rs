use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Connection, Silence, eventually};

/// The stream is this block over and over. A prime length, so that no lost or doubled segment
/// leaves it in step.
const BLOCK_LEN: usize = 65_521;

/// Between two writes: leaves the processors to what is tested.
const PAUSE: Duration = Duration::from_millis(1);

/// A connection on which both sides send all the time, and check every byte they receive.
pub(crate) struct Transfer {
    stop: Arc<AtomicBool>,
    received: [Arc<AtomicU64>; 2],
    silence: Arc<Silence>,
    senders: Vec<JoinHandle<u64>>,
    receivers: Vec<JoinHandle<u64>>,
}

impl Transfer {
    pub(crate) fn start(connection: &Connection) -> Transfer {
        Transfer::paced(connection, PAUSE)
    }

    /// With so long a pause between two writes of 64 KiB.
    pub(crate) fn paced(connection: &Connection, pause: Duration) -> Transfer {
        let mut transfer = Transfer {
            stop: Arc::default(),
            received: Default::default(),
            silence: Arc::default(),
            senders: Vec::new(),
            receivers: Vec::new(),
        };
        let ends = [
            (&connection.client, &connection.server),
            (&connection.server, &connection.client),
        ];
        for ((from, to), received) in ends.into_iter().zip(&transfer.received) {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let (stop, received) = (Arc::clone(&transfer.stop), Arc::clone(received));
            let silence = Arc::clone(&transfer.silence);
            transfer
                .senders
                .push(std::thread::spawn(move || send(from, pause, &stop)));
            transfer
                .receivers
                .push(std::thread::spawn(move || receive(to, &received, &silence)));
        }
        transfer
    }

    /// Waits until both sides have received so many bytes more.
    #[track_caller]
    pub(crate) fn await_progress(&self, bytes: u64) {
        for received in &self.received {
            let goal = received.load(Ordering::Relaxed) + bytes;
            eventually("the transfer goes on", || {
                (received.load(Ordering::Relaxed) >= goal).then_some(())
            });
        }
    }

    /// When it was silent, both directions together.
    pub(crate) fn silence(&self) -> &Silence {
        &self.silence
    }

    /// Ends it. Both sides must have received exactly what the other sent.
    #[track_caller]
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for (sender, receiver) in self.senders.into_iter().zip(self.receivers) {
            let (sent, received) = (sender.join().unwrap(), receiver.join().unwrap());
            assert_eq!(received, sent);
        }
    }
}

fn send(mut stream: TcpStream, pause: Duration, stop: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        stream
            .write_all(block())
            .expect("the connection takes more");
        sent += block().len() as u64;
        std::thread::sleep(pause);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    sent
}

fn receive(mut stream: TcpStream, progress: &AtomicU64, silence: &Silence) -> u64 {
    let mut buffer = vec![0; 1 << 18];
    let (mut place, mut total) = (0, 0);
    loop {
        let len = stream.read(&mut buffer).expect("more comes, or the end");
        if len == 0 {
            return total;
        }
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            let expected = &block()[place..(place + rest.len()).min(BLOCK_LEN)];
            let (now, later) = rest.split_at(expected.len());
            assert!(now == expected, "wrong bytes after {total}");
            place = (place + now.len()) % BLOCK_LEN;
            rest = later;
        }
        total += len as u64;
        progress.store(total, Ordering::Relaxed);
        silence.end();
    }
}

/// Marsaglia's xorshift.
fn block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[7]
        };
        std::iter::repeat_with(next).take(BLOCK_LEN).collect()
    })
}
