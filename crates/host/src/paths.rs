use std::path::{Path, PathBuf};

/// Where an agent keeps what others must find.
///
/// One host may run several instances side by side; each has its own socket, state and pinned
/// programs, and names its devices so that they do not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The instance's name.
    pub instance: String,
    /// The control socket.
    pub socket: PathBuf,
    /// What a detached agent has to say.
    pub log: PathBuf,
    /// The state store.
    pub state: PathBuf,
    /// The pinned maps, programs and links.
    pub pins: PathBuf,
}

/// The instance people get who name none.
pub const DEFAULT_INSTANCE: &str = "default";

/// Why a name is no instance's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "instance name `{0}` is not valid: 1 to 32 characters of a-z, 0-9 and `-`, beginning with a letter"
)]
pub struct InstanceNameError(String);

impl Paths {
    /// The paths of an instance, under the directories the file hierarchy standard gives daemons.
    pub fn for_instance(instance: &str) -> Result<Paths, InstanceNameError> {
        Paths::under(Path::new("/"), instance)
    }

    /// The same under another root, except for the pins, which must be on the BPF file system.
    pub fn under(root: &Path, instance: &str) -> Result<Paths, InstanceNameError> {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let valid = (1..=32).contains(&instance.len())
            && instance.starts_with(|c: char| c.is_ascii_lowercase())
            && instance.chars().all(letters);
        if !valid {
            return Err(InstanceNameError(instance.to_owned()));
        }
        let run = root.join("run/clearway").join(instance);
        Ok(Paths {
            instance: instance.to_owned(),
            socket: run.join("agent.sock"),
            log: run.join("agent.log"),
            state: root
                .join("var/lib/clearway")
                .join(instance)
                .join("state.redb"),
            pins: Path::new("/sys/fs/bpf/clearway").join(instance),
        })
    }

    /// Where it is noted that the host waits less for the sake of this instance.
    pub(crate) fn expedited_note(&self) -> PathBuf {
        self.log.with_file_name("rcu-expedited")
    }

    /// The prefix of this instance's device names: short, for the kernel takes 15 bytes.
    pub fn device_prefix(&self) -> String {
        if self.instance == DEFAULT_INSTANCE {
            return "cw".to_owned();
        }
        // FNV-1a, 16 bits of it: stable across versions, since devices outlive the agent.
        let hash = self
            .instance
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        format!("cw{:04x}", (hash ^ (hash >> 16) ^ (hash >> 32)) & 0xffff)
    }

    /// The device behind which a port's guest is, on the host's side.
    pub fn port_device(&self, port: flow::PortId) -> String {
        format!("{}p{}", self.device_prefix(), port.0)
    }

    /// The device on which exceptions come up.
    pub fn exception_device(&self) -> String {
        format!("{}x", self.device_prefix())
    }

    /// The namespace of a guest: its own name in the default instance, so that `ip netns exec`
    /// reads well.
    pub fn namespace_of(&self, guest: &str) -> String {
        if self.instance == DEFAULT_INSTANCE {
            guest.to_owned()
        } else {
            format!("{}-{guest}", self.instance)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_fit_the_kernel() {
        let long = Paths::for_instance("a-very-long-instance-name-indeed").expect("valid");
        let name = long.port_device(flow::PortId::MAX);
        assert!(name.len() <= 15, "{name}");
        assert_ne!(long.device_prefix(), "cw");
    }

    #[test]
    fn a_name_that_would_leave_its_directory_is_refused() {
        for name in ["", "..", "a/b", "A", "1a", &"a".repeat(33)] {
            assert!(Paths::for_instance(name).is_err(), "{name}");
        }
    }
}
