use super::*;

#[test]
fn a_packed_position_is_two_places_with_their_laps() {
    let avail = Place {
        at: 0x123,
        wrap: true,
    };
    let used = Place {
        at: 0x45,
        wrap: false,
    };
    let position = Position::packed(avail, used);
    assert_eq!(position.0, 0x0045_8123);
    assert_eq!((position.avail(), position.used()), (avail, used));
    assert_eq!(Position::PACKED_START.0, 0x8000_8000);
    // As DPDK's virtio-user sets it.
    assert_eq!(Position(0x8000).used(), Place::START);
    // The first place in a lap whose counter is 0 is all zeros, and not nothing.
    let lap = Place { at: 0, wrap: false };
    let ahead = Place { at: 1, wrap: false };
    assert_eq!(Position::packed(ahead, lap).used(), lap);
    assert_eq!(Position::split(0xabcd).avail_index(), 0xabcd);
}

#[test]
fn places_wrap_at_the_end_of_the_ring() {
    for size in [1, 5, 256, 32_768] {
        let start = Place {
            at: size - 1,
            wrap: true,
        };
        let next = start.plus(1, size);
        assert_eq!(next, Place { at: 0, wrap: false });
        assert_eq!(next.minus(1, size), start);
        let lap = start.plus(size, size);
        assert_eq!((lap.at, lap.wrap), (size - 1, false));
        assert_eq!(lap.minus(size, size), start);
        assert_eq!(start.plus(0, size), start);
    }
}
