//! The handler itself, as the kernel and the C library want it.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::{io, mem, ptr};

use rustix::process::{Signal, getpid, kill_process};

use super::cover;

/// What SIGBUS did before.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Makes the process survive the loss of guarded memory. Further calls do nothing.
///
/// # Errors
/// That of `sigaction(2)`.
pub fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let before = exchange(None)?;
        PREVIOUS.get_or_init(|| before);
        let mut action = by_default();
        action.sa_sigaction = on_bus_error as *const () as usize;
        // Three arguments; on the thread's alternate stack if there is one; and interrupted system
        // calls go on.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        exchange(Some(&action)).map(drop)
    });
    installed.map_err(io::Error::from_raw_os_error)
}

/// Sets what SIGBUS does, and says what it did; the error number otherwise.
fn exchange(action: Option<&libc::sigaction>) -> Result<libc::sigaction, i32> {
    let mut before = by_default();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are to `struct sigaction`s or null; the handler that is set is one that
    // was there before, the default, or `on_bus_error`, which is safe to run at any moment.
    if unsafe { libc::sigaction(libc::SIGBUS, action, &raw mut before) } == 0 {
        Ok(before)
    } else {
        Err(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

fn by_default() -> libc::sigaction {
    // SAFETY: integers and an optional pointer; all zero is `SIG_DFL` with an empty mask.
    unsafe { mem::zeroed() }
}

/// Covers a lost page of ours; lets what was there before have any other signal.
extern "C" fn on_bus_error(_signal: c_int, info: *const libc::siginfo_t, _context: *const c_void) {
    // SAFETY: the kernel hands over a `siginfo_t`, which for SIGBUS has an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // A page that is not there (truncated file), or one with broken memory.
    if matches!(code, libc::BUS_ADRERR | libc::BUS_MCEERR_AR) && cover(address) {
        return;
    }
    let Some(before) = PREVIOUS.get() else { return };
    if code > 0 {
        // The fault repeats itself as soon as this returns.
        let _set = exchange(Some(before));
    } else if before.sa_sigaction != libc::SIG_IGN {
        // Somebody sent the signal, which does not repeat itself; and the handler that the standard
        // library has for faults would swallow it.
        let _set = exchange(Some(&by_default()));
        let _sent = kill_process(getpid(), Signal::BUS);
    }
}
