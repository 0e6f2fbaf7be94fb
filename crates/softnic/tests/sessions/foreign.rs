//! rust-vmm's front end against our back end: someone else's reading of the specification.

use std::os::fd::AsRawFd;

use softnic::features::{NetFeatures, ProtocolFeatures};
use vhost::vhost_user::message::{
    VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserInflight, VhostUserProtocolFeatures,
};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::EventFd;
use vring::driver::{Arena, Buffer, Driver, Returned, Setup, Side};
use vring::memory::{GuestAddress, Region, UserAddress};

use crate::{BackEnd, listen, socket, until};

const REGION: Region = Region {
    guest: GuestAddress(0x10_0000),
    user: UserAddress(0x7f00_0000_0000),
    size: 1 << 20,
};

fn described(region: Region, file: &impl AsRawFd) -> VhostUserMemoryRegionInfo {
    VhostUserMemoryRegionInfo {
        guest_phys_addr: region.guest.0,
        memory_size: region.size,
        userspace_addr: region.user.0,
        mmap_offset: 0,
        mmap_handle: file.as_raw_fd(),
    }
}

fn described_ring(driver: &Driver) -> VringConfigData {
    let layout = driver.layout();
    VringConfigData {
        queue_max_size: layout.size,
        queue_size: layout.size,
        flags: 0,
        desc_table_addr: layout.descriptors.0,
        used_ring_addr: layout.device.0,
        avail_ring_addr: layout.driver.0,
        log_addr: None,
    }
}

fn negotiate(front_end: &mut Frontend, features: NetFeatures) {
    front_end.set_owner().unwrap();
    let offered = front_end.get_features().unwrap();
    assert!(NetFeatures(offered).has(features));
    let supported = front_end.get_protocol_features().unwrap();
    assert_eq!(supported.bits(), ProtocolFeatures::SUPPORTED.0);
    let wanted = supported & VhostUserProtocolFeatures::all();
    front_end.set_protocol_features(wanted).unwrap();
    front_end.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    front_end.set_features(features.0).unwrap();
}

#[test]
fn rust_vmm_brings_a_device_up_and_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let back_end = BackEnd::start(listen(&path));
    let mut front_end = Frontend::connect(&path, 4).unwrap();
    let features = NetFeatures::VERSION_1 | NetFeatures::PROTOCOL_FEATURES | NetFeatures::MRG_RXBUF;
    negotiate(&mut front_end, features);
    assert_eq!(front_end.get_queue_num().unwrap(), 2);
    let arena = &mut Arena::new(REGION).unwrap();
    let setup = Setup {
        size: 16,
        features: features.rings(),
        table: 0,
    };
    let mut drivers = [(); 2].map(|()| Driver::new(arena, setup).unwrap());
    let regions: Vec<_> = arena
        .regions()
        .map(|(at, file)| described(at, &file))
        .collect();
    front_end.set_mem_table(&regions).unwrap();
    let events = [(); 6].map(|()| eventfd());
    for (index, driver) in drivers.iter().enumerate() {
        front_end.set_vring_num(index, 16).unwrap();
        front_end
            .set_vring_addr(index, &described_ring(driver))
            .unwrap();
        front_end.set_vring_base(index, 0).unwrap();
        front_end.set_vring_call(index, &events[index * 3]).unwrap();
        front_end
            .set_vring_err(index, &events[index * 3 + 1])
            .unwrap();
        front_end
            .set_vring_kick(index, &events[index * 3 + 2])
            .unwrap();
        front_end.set_vring_enable(index, true).unwrap();
    }
    let buffers = [(); 2].map(|()| arena.take(256, 64).unwrap());
    let buffer = |address| Buffer { address, len: 256 };
    let [receive, transmit] = &mut drivers;
    assert_eq!(
        receive.offer_each(Side::Writable, [(buffer(buffers[0]), 1)]),
        1
    );
    let _ = receive.publish();
    arena.memory().write(buffers[1], &[9; 256]).unwrap();
    assert_eq!(
        transmit.offer_each(Side::Readable, [(buffer(buffers[1]), 2)]),
        1
    );
    let _ = transmit.publish();
    let mut returned = [Returned::default(); 4];
    until("the frame comes back", || {
        receive.collect(&mut returned) == Ok(1)
    });
    assert_eq!(returned[0].written, 256);
    until("the device calls", || events[0].read().is_ok());
    assert_eq!(front_end.get_vring_base(0).unwrap(), 1);
    assert_eq!(front_end.get_vring_base(1).unwrap(), 1);
    front_end.reset_device().unwrap();
    drop(front_end);
    let echo = back_end.stop();
    assert_eq!((echo.echoed, echo.served.len()), (1, 0));
}

#[test]
fn rust_vmm_agrees_on_the_rest_of_the_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let back_end = BackEnd::start(listen(&path));
    let mut front_end = Frontend::connect(&path, 4).unwrap();
    negotiate(
        &mut front_end,
        NetFeatures::VERSION_1 | NetFeatures::PROTOCOL_FEATURES,
    );
    let flags = VhostUserConfigFlags::WRITABLE;
    let (_, space) = front_end.get_config(0, 6, flags, &[0; 6]).unwrap();
    assert_eq!(space, [2, 0, 0, 0, 0, 1]);
    assert_eq!(front_end.get_max_mem_slots().unwrap(), 509);
    let arena = Arena::new(REGION).unwrap();
    let regions: Vec<_> = arena
        .regions()
        .map(|(at, file)| described(at, &file))
        .collect();
    front_end.add_mem_region(&regions[0]).unwrap();
    assert!(
        front_end.add_mem_region(&regions[0]).is_err(),
        "overlaps itself"
    );
    front_end.remove_mem_region(&regions[0]).unwrap();
    let wanted = VhostUserInflight {
        mmap_size: 0,
        mmap_offset: 0,
        num_queues: 4,
        queue_size: 256,
    };
    let (area, file) = front_end.get_inflight_fd(&wanted).unwrap();
    assert_eq!((area.num_queues, area.queue_size), (4, 256));
    assert!(area.mmap_size >= 4 * 256 * 16);
    front_end.set_inflight_fd(&area, file.as_raw_fd()).unwrap();
    assert!(front_end.set_vring_num(0, 0).is_err());
    drop(front_end);
    let echo = back_end.stop();
    assert_eq!(echo.device.counters()["memory_refused"], 1);
    assert_eq!(echo.device.counters()["ring_size"], 1);
}

fn eventfd() -> EventFd {
    let flags = rustix::event::EventfdFlags::NONBLOCK.bits();
    EventFd::new(i32::from_ne_bytes(flags.to_ne_bytes())).unwrap()
}
