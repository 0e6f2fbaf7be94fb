//! Our end of the port through which a machine takes commands.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the machine may take to take a command.
const TAKING: Duration = Duration::from_secs(30);
/// A line of the machine is never this long.
const LINE_LIMIT: usize = 4_096;

/// A stream of lines and bytes, with a deadline on everything.
pub(super) struct Port {
    stream: UnixStream,
    /// What has come and is not asked for yet.
    ahead: Vec<u8>,
}

impl Port {
    pub(super) fn new(stream: UnixStream) -> Port {
        let ahead = Vec::new();
        Port { stream, ahead }
    }

    /// Says something.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.set_write_timeout(Some(TAKING))?;
        self.stream.write_all(line.as_bytes())
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self, deadline: Instant) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line = self.ahead.drain(..=end).take(end).collect();
                return String::from_utf8(line)
                    .map_err(|error| io::Error::new(ErrorKind::InvalidData, error));
            }
            if self.ahead.len() > LINE_LIMIT {
                return Err(io::Error::new(ErrorKind::InvalidData, "no line has an end"));
            }
            self.fill(deadline)?;
        }
    }

    /// The next so many bytes.
    pub(super) fn bytes(&mut self, len: usize, deadline: Instant) -> io::Result<Vec<u8>> {
        while self.ahead.len() < len {
            self.fill(deadline)?;
        }
        Ok(self.ahead.drain(..len).collect())
    }

    fn fill(&mut self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"));
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; 1 << 14];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the machine has ended",
            )),
            Ok(len) => {
                self.ahead.extend_from_slice(&buffer[..len]);
                Ok(())
            }
            // The deadline is looked at anew.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
