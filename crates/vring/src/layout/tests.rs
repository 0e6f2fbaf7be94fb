use super::*;

/// The bytes of two words as they lie in memory.
fn bytes(words: [u64; 2]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

const SOME: Descriptor = Descriptor {
    address: 0x0102_0304_0506_0708,
    len: 0x1112_1314,
    flags: 0x2122,
    link: 0x3132,
};

#[test]
fn a_split_descriptor_is_address_length_flags_next() {
    let expected = [
        8, 7, 6, 5, 4, 3, 2, 1, 0x14, 0x13, 0x12, 0x11, 0x22, 0x21, 0x32, 0x31,
    ];
    assert_eq!(bytes(SOME.to_split()), expected);
    assert_eq!(Descriptor::from_split(SOME.to_split()), SOME);
}

#[test]
fn a_packed_descriptor_is_address_length_id_flags() {
    let expected = [
        8, 7, 6, 5, 4, 3, 2, 1, 0x14, 0x13, 0x12, 0x11, 0x32, 0x31, 0x22, 0x21,
    ];
    assert_eq!(bytes(SOME.to_packed()), expected);
    assert_eq!(Descriptor::from_packed(SOME.to_packed()), SOME);
}

#[test]
fn areas_are_as_long_as_the_standard_says() {
    assert_eq!(Layout::descriptor_bytes(256), 4096);
    assert_eq!(Layout::avail_bytes(256, false), 516);
    assert_eq!(Layout::avail_bytes(256, true), 518);
    assert_eq!(Layout::used_bytes(256, false), 2052);
    assert_eq!(Layout::used_bytes(256, true), 2054);
}
