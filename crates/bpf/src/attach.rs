//! Programs on devices, by either hook.

use std::fs;
use std::io;
use std::path::Path;

use aya::programs::links::{FdLink, LinkOrder, PinnedLink};
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcError, TcHandle,
    qdisc_add_clsact, qdisc_detach_program,
};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use flow::PortId;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use wire::MacAddr;

use crate::{AttachError, Hook, sys};

/// A guest's interface, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortAttachment {
    /// The port.
    pub port: PortId,
    /// The host's end: an index in the network namespace of the caller.
    pub ifindex: u32,
    /// What it is, which decides how frames are delivered to it.
    pub kind: DeviceKind,
    /// The guest's own address. Frames from any other are exceptions.
    pub mac: MacAddr,
    /// The virtual router's address, as the guest knows it.
    pub router_mac: MacAddr,
}

/// What a guest's interface is on the host's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// The host's end of a veth pair whose other end is in another network namespace. Frames are
    /// handed to that end without queueing.
    Veth,
    /// A TAP device, to which frames are transmitted.
    Tap,
}

/// Before any other filter: what they let pass, this program must still have judged.
const CLSACT_PRIORITY: u16 = 1;
/// Ours to replace, and unlikely to be anybody else's.
const CLSACT_HANDLE: TcHandle = TcHandle::new(0xc1ea, 1);

/// The name of the program that runs on guests' devices.
pub(crate) const FROM_GUEST: &str = "from_guest";
/// The name of the program that runs on the uplink.
pub(crate) const FROM_UPLINK: &str = "from_uplink";
/// The name of the program that runs on the exception device.
pub(crate) const SINK: &str = "sink";

/// Puts `program` on the ingress of a device, in the place of an earlier one if there is one, with
/// no moment in between at which a frame could pass unjudged. `name` is the program's.
pub(crate) fn attach(
    program: &mut SchedClassifier,
    name: &str,
    hook: Hook,
    ifindex: u32,
    link: &Path,
) -> Result<(), AttachError> {
    let device = device_name(ifindex).map_err(|error| AttachError::NoDevice(ifindex, error))?;
    let hook_error = |source| AttachError::Hook {
        device: device.clone(),
        source: Box::new(source),
    };
    match hook {
        Hook::Tcx | Hook::Auto => {
            attach_tcx(program, &device, link, &hook_error)?;
            detach_clsact(&device, name).map_err(|error| hook_error(error.into()))
        }
        Hook::Clsact => {
            attach_clsact(program, &device).map_err(&hook_error)?;
            unpin(link)
        }
    }
}

/// Puts `program` in the place of the one an earlier agent attached, by whichever hook, and moves
/// it to this one. False if there is none: then the device that was meant is gone, though another
/// may have its index by now.
pub(crate) fn renew(
    program: &mut SchedClassifier,
    name: &str,
    hook: Hook,
    ifindex: u32,
    link: &Path,
) -> Result<bool, AttachError> {
    let Ok(device) = device_name(ifindex) else {
        return Ok(false);
    };
    if !update_pinned(program, link) && replace_clsact(program, &device).is_err() {
        return Ok(false);
    }
    attach(program, name, hook, ifindex, link).map(|()| true)
}

/// Takes the program off a device, by whichever hook it is there. A device that is gone has none.
pub(crate) fn detach(name: &str, ifindex: u32, link: &Path) -> Result<(), AttachError> {
    if let Ok(device) = device_name(ifindex) {
        detach_clsact(&device, name).map_err(|error| AttachError::Hook {
            device,
            source: Box::new(error.into()),
        })?;
    }
    // Where there is no such link, or its device has gone, it is off already.
    let _ = sys::detach_pinned_link(link);
    unpin(link)
}

/// The name of a device in the caller's network namespace.
pub(crate) fn device_name(ifindex: u32) -> io::Result<String> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(netdevice::index_to_name(socket, ifindex)?)
}

/// A link that will not take the program (its device has gone and come back, or it is none of tcx)
/// is succeeded by a new one before it goes.
fn attach_tcx(
    program: &mut SchedClassifier,
    device: &str,
    path: &Path,
    hook_error: &dyn Fn(ProgramError) -> AttachError,
) -> Result<(), AttachError> {
    if update_pinned(program, path) {
        return Ok(());
    }
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(device, TcAttachType::Ingress, first)
        .map_err(hook_error)?;
    let link = program.take_link(id).map_err(hook_error)?;
    let link: FdLink = link
        .try_into()
        .map_err(|error| hook_error(ProgramError::IOError(io::Error::other(error))))?;
    unpin(path)?;
    link.pin(path)
        .map_err(|error| pin_error(path, io::Error::other(error)))?;
    Ok(())
}

/// Puts `program` behind a pinned link. False if there is no link, or its device is gone.
pub(crate) fn update_pinned(program: &mut SchedClassifier, path: &Path) -> bool {
    let Ok(pinned) = PinnedLink::from_pin(path) else {
        return false;
    };
    let Ok(link) = SchedClassifierLink::try_from(FdLink::from(pinned)) else {
        return false;
    };
    let Ok(id) = program.attach_to_link(link) else {
        return false;
    };
    // Ours closes here; the pin keeps the link.
    program.take_link(id).is_ok()
}

fn attach_clsact(program: &mut SchedClassifier, device: &str) -> Result<(), ProgramError> {
    if let Err(error) = qdisc_add_clsact(device)
        && tc_errno(&error) != Some(libc::EEXIST)
    {
        return Err(error.into());
    }
    if replace_clsact(program, device).is_ok() {
        return Ok(());
    }
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: CLSACT_PRIORITY,
        handle: CLSACT_HANDLE,
        classid: None,
    });
    let id = program.attach_with_options(device, TcAttachType::Ingress, options)?;
    keep(program, id)
}

/// Puts `program` in the place of our filter on the device, if there is one.
fn replace_clsact(program: &mut SchedClassifier, device: &str) -> Result<(), ProgramError> {
    let ingress = TcAttachType::Ingress;
    let filter =
        SchedClassifierLink::attached(device, ingress, CLSACT_PRIORITY, CLSACT_HANDLE, None)?;
    let id = program.attach_to_link(filter)?;
    keep(program, id)
}

/// A filter stays until somebody deletes it, which dropping the link would do.
fn keep(program: &mut SchedClassifier, id: SchedClassifierLinkId) -> Result<(), ProgramError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel owns it, and detach deletes it"
    )]
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// The queueing discipline stays: others may have filters in it, and without it costs nothing.
fn detach_clsact(device: &str, name: &str) -> Result<(), TcError> {
    match qdisc_detach_program(device, TcAttachType::Ingress, name) {
        Err(error) if !is_absence(&error) => Err(error),
        _ => Ok(()),
    }
}

/// No such filter, no such discipline, no such device: nothing is there to take off.
fn is_absence(error: &TcError) -> bool {
    matches!(
        tc_errno(error),
        Some(libc::ENOENT | libc::EINVAL | libc::ENODEV | libc::EOPNOTSUPP)
    ) || matches!(error, TcError::IoError(error) if error.kind() == io::ErrorKind::NotFound)
}

fn tc_errno(error: &TcError) -> Option<i32> {
    match error {
        TcError::NetlinkError(error) => error.raw_os_error(),
        TcError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}

fn unpin(path: &Path) -> Result<(), AttachError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(pin_error(path, error)),
        _ => Ok(()),
    }
}

fn pin_error(path: &Path, source: io::Error) -> AttachError {
    AttachError::Pin {
        path: path.to_owned(),
        source,
    }
}
