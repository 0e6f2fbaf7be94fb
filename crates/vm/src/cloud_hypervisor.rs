//! A machine as arguments of Cloud Hypervisor.

use crate::machine::{Accelerator, Machine, Nic, Ring};

/// The program.
pub const PROGRAM: &str = "cloud-hypervisor";

/// What Cloud Hypervisor does not offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// It runs guests by KVM alone.
    #[error("Cloud Hypervisor needs /dev/kvm; use QEMU")]
    Tcg,
    /// It has no STANDBY feature, without which a guest does not bond the two.
    #[error("hardware VF of NIC `{nic}` needs the STANDBY feature, which only QEMU offers")]
    Standby {
        /// The NIC with a hardware VF.
        nic: String,
    },
    /// It has no packed rings for vhost-user devices.
    #[error("packed ring of NIC `{nic}` is offered by QEMU only")]
    Packed {
        /// The NIC.
        nic: String,
    },
    /// It boots from a kernel or firmware that it is given.
    #[error("kernel missing; Cloud Hypervisor has no firmware of its own")]
    Kernel,
    /// Its options know no way to write a comma or a bracket.
    #[error("path `{path}` holds a character that its options use themselves")]
    Path {
        /// The path.
        path: String,
    },
}

/// The arguments, without the program.
///
/// # Errors
/// What of the machine it cannot be told.
pub fn arguments(machine: &Machine) -> Result<Vec<String>, Unsupported> {
    if machine.accelerator == Accelerator::Tcg {
        return Err(Unsupported::Tcg);
    }
    let boot = machine.boot.as_ref().ok_or(Unsupported::Kernel)?;
    let mut arguments = Vec::new();
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    add("--cpus", format!("boot={}", machine.processors));
    add(
        "--memory",
        format!("size={}M,shared=on", machine.memory_mib),
    );
    add("--kernel", boot.kernel.to_string_lossy().into_owned());
    if let Some(initrd) = &boot.initrd {
        add("--initramfs", initrd.to_string_lossy().into_owned());
    }
    if !boot.command_line.is_empty() {
        add("--cmdline", boot.command_line.clone());
    }
    add("--serial", "tty".to_owned());
    add("--console", "off".to_owned());
    add("--api-socket", plain(&machine.control.to_string_lossy())?);
    if !machine.nics.is_empty() {
        arguments.push("--net".to_owned());
        for nic in &machine.nics {
            arguments.push(net(nic)?);
        }
    }
    Ok(arguments)
}

fn net(nic: &Nic) -> Result<String, Unsupported> {
    let name = || nic.id.clone();
    if nic.primary.is_some() {
        return Err(Unsupported::Standby { nic: name() });
    }
    if nic.ring == Ring::Packed {
        return Err(Unsupported::Packed { nic: name() });
    }
    // It is the server, as with QEMU: the agent is restarted more often than the machine.
    let mut net = format!(
        "id={},mac={},vhost_user=true,vhost_mode=server,socket={},num_queues={},queue_size={}",
        nic.id,
        nic.mac,
        plain(&nic.socket.to_string_lossy())?,
        2 * u32::from(nic.queue_pairs.get()),
        nic.queue_size,
    );
    if let Some(mtu) = nic.mtu {
        net += &format!(",mtu={mtu}");
    }
    Ok(net)
}

fn plain(path: &str) -> Result<String, Unsupported> {
    if path.contains([',', '[', ']', '"', '=']) {
        return Err(Unsupported::Path {
            path: path.to_owned(),
        });
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests;
