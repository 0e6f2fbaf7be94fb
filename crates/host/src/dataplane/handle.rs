use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use netdev::receive::FrameReceiver;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use super::{Command, DataPlane};

/// Commands that may wait. More than the control plane has in flight at once.
const COMMANDS_MAX: usize = 256;

/// The data-plane thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data plane has stopped; see the agent's log")]
pub(crate) struct Gone;

/// How the control plane reaches the data-plane thread.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: SyncSender<Command>,
    wake: Arc<OwnedFd>,
}

impl Handle {
    /// Runs `work` on the data-plane thread and gives back what it returns.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DataPlane) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        let mut command: Command = Box::new(move |plane| {
            // The asker may have left; its work is done all the same.
            let _ = answer.send(work(plane));
        });
        loop {
            match self.commands.try_send(command) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => {
                    command = back;
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                Err(TrySendError::Disconnected(_)) => return Err(Gone),
            }
        }
        rustix::io::write(&*self.wake, &1_u64.to_ne_bytes()).map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}

/// Starts the thread on a data plane that is ready.
pub(crate) fn start(
    plane: DataPlane,
    receiver: FrameReceiver,
) -> io::Result<(Handle, JoinHandle<()>)> {
    let (commands, queue): (SyncSender<Command>, Receiver<Command>) = sync_channel(COMMANDS_MAX);
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let theirs = wake.as_fd().try_clone_to_owned()?;
    let thread = std::thread::Builder::new()
        .name("dataplane".to_owned())
        .spawn(move || plane.run(receiver, &queue, &theirs))?;
    Ok((Handle { commands, wake }, thread))
}
