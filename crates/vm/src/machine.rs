//! What a machine is to have.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;

use wire::MacAddr;

/// A machine, whichever monitor runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What it is called; letters, digits and hyphens.
    pub name: String,
    /// Virtual processors.
    pub processors: NonZeroU16,
    /// Memory in MiB. It is shared with the agent, which serves queues in it.
    pub memory_mib: NonZeroU32,
    /// Who executes guest code.
    pub accelerator: Accelerator,
    /// A kernel to boot; without one the monitor's firmware decides.
    pub boot: Option<Boot>,
    /// Its NICs, in the order in which the guest finds them.
    pub nics: Vec<Nic>,
    /// Where the monitor listens for its control protocol.
    pub control: PathBuf,
}

/// Who executes guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, by the kernel.
    Kvm,
    /// The monitor, by translating it: slow, and works anywhere. QEMU only.
    Tcg,
}

/// A kernel that is booted without firmware or disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initial file system.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
}

/// A vhost-user NIC: the one stable device of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// What it is called to the monitor; letters, digits and hyphens, unique in the machine.
    pub id: String,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Where the monitor listens for the agent, which comes back by itself after a restart.
    pub socket: PathBuf,
    /// Pairs of a receive and a transmit queue.
    pub queue_pairs: NonZeroU16,
    /// Descriptors of each queue, a power of two of at most 1,024.
    pub queue_size: u16,
    /// How the rings lie in memory.
    pub ring: Ring,
    /// The MTU the device tells its guest.
    pub mtu: Option<NonZeroU16>,
    /// The hardware VF that is to carry the traffic while it is plugged.
    pub primary: Option<Primary>,
}

/// The format of virtqueues (virtio 1.2, 2.7 and 2.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ring {
    /// Descriptor table, available ring, used ring.
    #[default]
    Split,
    /// One ring of descriptors.
    Packed,
}

/// A PCI NIC with the same Ethernet address, which the guest bonds with the stable device
/// (`net_failover`), whose STANDBY feature it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Primary {
    /// A device of the host, handed to the guest.
    Vfio(PciAddress),
    /// An e1000e that the monitor emulates over this TAP of the host: the guest cannot tell it from
    /// hardware, so that the pair can be tried without any. QEMU only.
    Emulated {
        /// The interface.
        tap: String,
    },
}

/// Where a device of the host is: `domain:bus:device.function`, in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PciAddress {
    /// The domain, which most hosts have one of.
    pub domain: u16,
    /// The bus.
    pub bus: u8,
    /// The device, below 32.
    pub device: u8,
    /// The function, below 8.
    pub function: u8,
}

/// A text is no PCI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PCI address `{found}` not of the form 0000:3b:02.1 (or 3b:02.1)")]
pub struct PciAddressError {
    /// What was there.
    pub found: String,
}

impl FromStr for PciAddress {
    type Err = PciAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| PciAddressError {
            found: text.to_owned(),
        })
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            bus,
            device,
            function,
        } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let (place, function) = text.split_once('.')?;
    let mut parts = place.rsplit(':');
    let (device, bus) = (parts.next()?, parts.next()?);
    let domain = parts.next().unwrap_or("0000");
    if parts.next().is_some() || (bus.len(), device.len(), domain.len()) != (2, 2, 4) {
        return None;
    }
    let hex = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u16::from_str_radix(text, 16).ok()).flatten()
    };
    let small = |text: &str| hex(text).and_then(|number| u8::try_from(number).ok());
    let address = PciAddress {
        domain: hex(domain)?,
        bus: small(bus)?,
        device: small(device).filter(|device| *device < 32)?,
        function: small(function).filter(|function| *function < 8)?,
    };
    (function.len() == 1).then_some(address)
}

#[cfg(test)]
mod tests;
