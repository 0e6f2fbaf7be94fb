//! Many changes of links, without a grace period of waiting for each.
//!
//! To attach a program to a link, to take it off and to delete the link, the kernel waits until no
//! processor can be using what was there before: an RCU grace period, some ten milliseconds, under
//! the lock that every change of a link needs. A thousand links so take ten seconds, in which nobody
//! else on the host can change one either. The kernel can be told to ask the processors instead of
//! waiting for them (`/sys/kernel/rcu_expedited`; Documentation/admin-guide/kernel-parameters.txt,
//! `rcupdate.rcu_expedited`), which is a matter of microseconds. Each of them is interrupted for it,
//! so it is for the time of the changes only.
//!
//! The setting is the host's. It is left alone where it is on already, and where the host's
//! administrator asks for the opposite (`rcu_normal`). That it was turned on here is written down
//! before, so that it is turned off even after a kill in between: [`Expedited::recover`].

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::error::{Context, Error};

/// Where the kernel has its settings.
const KERNEL: &str = "/sys/kernel";

/// While this lives, grace periods are expedited.
#[derive(Debug)]
pub struct Expedited {
    kernel: PathBuf,
    note: PathBuf,
}

impl Expedited {
    /// Turns it on, and writes that down in the file `note`, in a folder that is lost with a restart
    /// of the host as the setting is. None where it is not to be had, or on already.
    pub fn begin(note: &Path) -> Option<Expedited> {
        Expedited::begin_in(Path::new(KERNEL), note)
    }

    /// Turns off what one before had turned on who did not come to turn it off.
    ///
    /// # Errors
    /// If it cannot be turned off.
    pub fn recover(note: &Path) -> Result<(), Error> {
        Expedited::end_in(Path::new(KERNEL), note)
    }

    fn begin_in(kernel: &Path, note: &Path) -> Option<Expedited> {
        let is = |name: &str, value: &str| {
            fs::read_to_string(kernel.join(name)).is_ok_and(|text| text.trim() == value)
        };
        let free = is("rcu_expedited", "0") && !is("rcu_normal", "1");
        if !free || fs::write(note, "").is_err() {
            return None;
        }
        let expedited = Expedited {
            kernel: kernel.to_owned(),
            note: note.to_owned(),
        };
        // Where that is refused, the note goes with the value.
        fs::write(kernel.join("rcu_expedited"), "1").ok()?;
        Some(expedited)
    }

    fn end_in(kernel: &Path, note: &Path) -> Result<(), Error> {
        if !note.exists() {
            return Ok(());
        }
        let setting = kernel.join("rcu_expedited");
        fs::write(&setting, "0").context(setting.display(), "turn it off")?;
        match fs::remove_file(note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context(note.display(), "remove it")
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        // Where it fails the note stays, and the next one tries again.
        let _ = Expedited::end_in(&self.kernel, &self.note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel's settings, in a folder.
    fn kernel(name: &str, expedited: &str, normal: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("expedite-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("rcu_expedited"), expedited).unwrap();
        fs::write(folder.join("rcu_normal"), normal).unwrap();
        folder
    }

    fn setting(kernel: &Path) -> String {
        fs::read_to_string(kernel.join("rcu_expedited")).unwrap()
    }

    #[test]
    fn it_is_on_for_as_long_as_it_is_wanted() {
        let kernel = kernel("on", "0\n", "0\n");
        let note = kernel.join("note");
        let expedited = Expedited::begin_in(&kernel, &note).expect("it is to be had");
        assert_eq!(setting(&kernel), "1");
        assert!(note.exists());
        drop(expedited);
        assert_eq!(setting(&kernel), "0");
        assert!(!note.exists());
        fs::remove_dir_all(kernel).unwrap();
    }

    #[test]
    fn what_others_have_set_is_theirs() {
        let kernel = kernel("theirs", "1\n", "0\n");
        let note = kernel.join("note");
        assert!(Expedited::begin_in(&kernel, &note).is_none());
        Expedited::end_in(&kernel, &note).unwrap();
        assert_eq!(setting(&kernel), "1\n");
        fs::write(kernel.join("rcu_expedited"), "0").unwrap();
        fs::write(kernel.join("rcu_normal"), "1").unwrap();
        assert!(Expedited::begin_in(&kernel, &note).is_none());
        assert!(Expedited::begin_in(&kernel.join("none"), &note).is_none());
        assert!(!note.exists());
        fs::remove_dir_all(kernel).unwrap();
    }

    #[test]
    fn after_a_kill_it_is_turned_off() {
        let kernel = kernel("kill", "1", "0\n");
        let note = kernel.join("note");
        fs::write(&note, "").unwrap();
        Expedited::end_in(&kernel, &note).unwrap();
        assert_eq!(setting(&kernel), "0");
        assert!(!note.exists());
        fs::remove_dir_all(kernel).unwrap();
    }
}
