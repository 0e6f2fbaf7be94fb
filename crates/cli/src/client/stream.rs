use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};

/// The longest line read.
const LINE_BYTES_MAX: usize = 64 << 10;

/// An answer that comes in pieces for as long as it is read.
pub(crate) struct Stream {
    body: Incoming,
    /// Of a line that is not complete.
    pending: Vec<u8>,
}

impl Stream {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            pending: Vec::new(),
        }
    }

    /// The next piece; none when the agent has ended. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.context("the agent broke off")?;
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The next line that is not empty; none when the agent has ended.
    pub(crate) async fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let rest = self.pending.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.pending.len() > LINE_BYTES_MAX {
                bail!("the agent sent a line of more than {LINE_BYTES_MAX} bytes");
            }
            match self.next().await? {
                Some(data) => self.pending.extend_from_slice(&data),
                None if self.pending.is_empty() => return Ok(None),
                None => bail!("the agent broke off within a line"),
            }
        }
    }
}
