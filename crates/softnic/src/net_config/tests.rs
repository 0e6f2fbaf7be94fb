use super::NetConfig;

const CONFIG: NetConfig = NetConfig {
    mac: [2, 0, 0, 0, 0, 7],
    link_up: true,
    announce: false,
    queue_pairs: 4,
    mtu: 1500,
};

#[test]
fn space_is_laid_out_as_virtio_says() {
    let bytes = [
        2, 0, 0, 0, 0, 7, 1, 0, 4, 0, 0xdc, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(CONFIG.read(0, 24), bytes);
    let announcing = NetConfig {
        link_up: false,
        announce: true,
        ..CONFIG
    };
    assert_eq!(announcing.read(6, 2), [2, 0]);
}

#[test]
fn any_part_can_be_read() {
    assert_eq!(CONFIG.read(10, 2), [0xdc, 5]);
    assert_eq!(CONFIG.read(20, 8), [0; 8]);
    assert_eq!(CONFIG.read(u32::MAX, 2), [0; 2]);
    assert_eq!(CONFIG.read(0, 0), []);
}

#[test]
fn only_what_changes_nothing_can_be_written() {
    assert!(CONFIG.is_unchanged_by(0, &[2, 0, 0, 0, 0, 7]));
    assert!(!CONFIG.is_unchanged_by(0, &[2, 0, 0, 0, 0, 8]));
    assert!(!CONFIG.is_unchanged_by(24, &[1]));
}
