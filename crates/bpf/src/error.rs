use std::io;
use std::path::PathBuf;

use flow::PortId;
use thiserror::Error;

use crate::{Hook, Unsupported};

/// An operation on one of the engine's maps failed.
#[derive(Debug, Error)]
#[error("map {map}")]
pub struct MapError {
    /// The map's name, as its pin is called.
    pub map: &'static str,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// Why an engine could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The host cannot run it.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The hook that was asked for is younger than this kernel.
    #[error("hook {hook} is not in kernel {found}: it needs 6.6 or newer")]
    Hook {
        /// What was asked for.
        hook: Hook,
        /// The running kernel.
        found: crate::KernelVersion,
    },
    /// The pin directory does not lie on a bpffs.
    #[error(
        "pin directory {path} is not on a bpffs: mount one with `mount -t bpf bpf /sys/fs/bpf`"
    )]
    NotBpffs {
        /// The directory.
        path: PathBuf,
    },
    /// The pin directory cannot be made, read or cleaned.
    #[error("pin {path}")]
    Pin {
        /// What could not be reached.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel did not take the maps.
    #[error("eBPF object")]
    Object(#[source] Box<aya::EbpfError>),
    /// The kernel did not take a program.
    #[error("program {name}")]
    Program {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// A map does not work.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The program on a device that was found could not be replaced.
    #[error("program on the device with index {ifindex}")]
    Takeover {
        /// The device.
        ifindex: u32,
        /// Why.
        #[source]
        source: AttachError,
    },
}

/// Why a device could not be attached or detached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// Ports are numbered from 1 to [`PortId::MAX`].
    #[error("{0} is outside 1 to {max}", max = PortId::MAX.0)]
    PortNumber(PortId),
    /// No device has this index in the network namespace of the caller.
    #[error("device with index {0}")]
    NoDevice(u32, #[source] io::Error),
    /// One device, one port.
    #[error("device with index {ifindex} belongs to {port}")]
    DeviceTaken {
        /// The device.
        ifindex: u32,
        /// Its port.
        port: PortId,
    },
    /// Exceptions arrive on this device, which can be nothing else.
    #[error("exception device with index {0}")]
    ExceptionDevice(u32),
    /// Zero is no port that VXLAN could be received on.
    #[error("VXLAN port 0")]
    VxlanPort,
    /// The hook refused the program.
    #[error("hook of device {device}")]
    Hook {
        /// The device's name.
        device: String,
        /// Why.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// The link could not be pinned or unpinned.
    #[error("pin {path}")]
    Pin {
        /// The link's path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The port could not be written.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// Why a frame could not be run through the program.
#[derive(Debug, Error)]
pub enum TestRunError {
    /// The kernel runs frames of at least an Ethernet header that fit a page.
    #[error("frame of {0} bytes")]
    FrameLength(usize),
    /// No uplink is attached.
    #[error("no uplink")]
    NoUplink,
    /// The kernel refused: no such device, or a frame it cannot hold.
    #[error("test run")]
    Kernel(#[source] Box<aya::programs::ProgramError>),
}
