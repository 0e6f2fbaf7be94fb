//! The calling thread and the scheduler: how urgently it runs, and how it fares (sched(7)).

#![expect(
    unsafe_code,
    reason = "sched_setscheduler(2) takes a pointer and has no safe form"
)]

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::{Errno, pread},
    time::{ClockId, clock_gettime},
};

/// How the scheduler chooses a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// In turns with all others, each a fair share (`SCHED_OTHER`).
    #[default]
    Ordinary,
    /// Before all ordinary threads, in turns with the other least urgent real-time threads
    /// (`SCHED_RR`, priority 1).
    RealTime,
}

/// Puts the calling thread into a class. Threads that it starts begin as ordinary ones.
///
/// # Errors
/// `EPERM` for [`Class::RealTime`] without `CAP_SYS_NICE` and beyond `RLIMIT_RTPRIO`, or in a
/// control group that was given no real-time budget.
pub fn set_class(class: Class) -> io::Result<()> {
    let (policy, priority) = match class {
        Class::Ordinary => (libc::SCHED_OTHER, 0),
        Class::RealTime => (libc::SCHED_RR, 1),
    };
    // Not `sched_setscheduler` of the C library: musl's refuses everything.
    // SAFETY: zeroed memory is a `sched_param`, whose one field in use is an integer.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: the parameters are alive and only read until the call returns; 0 is this thread.
    let status = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            0,
            policy | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if status < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// What a thread has had of the processors so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// It ran.
    pub ran: Duration,
    /// It could have run, and others did.
    pub waited: Duration,
}

/// Reads the times of the thread that opened it.
#[derive(Debug)]
pub struct Gauge {
    schedstat: OwnedFd,
}

impl Gauge {
    /// Of the calling thread, which alone may read it.
    ///
    /// # Errors
    /// `ENOENT` where `/proc` is not mounted or the kernel keeps no such account
    /// (`CONFIG_SCHED_INFO`).
    pub fn open() -> io::Result<Self> {
        let schedstat = File::open("/proc/thread-self/schedstat")?.into();
        Ok(Self { schedstat })
    }

    /// The times up to now.
    ///
    /// # Errors
    /// Those of read(2), and `EIO` if it is not what sched-stats.rst describes.
    pub fn read(&self) -> io::Result<Times> {
        // The file's own account of running is as old as the last tick; the clock's is exact.
        let ran = clock_gettime(ClockId::ThreadCPUTime);
        let mut text = [0; 96];
        let len = pread(self.schedstat.as_fd(), &mut text, 0)?;
        let waited = waited(&text[..len]).ok_or(Errno::IO)?;
        Ok(Times {
            ran: Duration::try_from(ran).map_err(|_| Errno::IO)?,
            waited,
        })
    }
}

/// The second of three numbers: nanoseconds on a run queue.
fn waited(schedstat: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(schedstat).ok()?;
    let nanoseconds = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests;
