use super::*;

fn header() -> VirtioNetHeader {
    VirtioNetHeader {
        flags: 1,
        csum_start: 34.into(),
        csum_offset: 6.into(),
        ..VirtioNetHeader::default()
    }
}

#[test]
fn a_header_of_either_form_lies_just_before_the_frame() {
    let mut front = Front::default();
    front.set(header(), &[7; 60]);
    let long = front.with_header(HeaderForm::Long, 3).to_vec();
    assert_eq!(long.len(), 12 + 60);
    assert_eq!(long[..12], [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 3, 0]);
    let short = front.with_header(HeaderForm::Short, 1).to_vec();
    assert_eq!(short[..10], long[..10]);
    assert_eq!(short[10..], long[12..]);
}

#[test]
fn what_was_filled_in_is_read_back() {
    for form in [HeaderForm::Short, HeaderForm::Long] {
        let mut sender = Front::default();
        sender.set(header(), b"a frame");
        let bytes = sender.with_header(form, 0).to_vec();
        let mut front = Front::default();
        front.room(form, 7).copy_from_slice(&bytes);
        front.parse(form);
        assert_eq!(front.header, header());
        assert_eq!(front.head(), b"a frame");
    }
}

#[test]
fn of_a_long_frame_the_first_bytes_are_here() {
    let mut front = Front::default();
    let frame: Vec<u8> = (0..=255).cycle().take(1500).collect();
    front.set(header(), &frame);
    assert!(!front.is_whole());
    assert_eq!(front.len(), 1500);
    assert_eq!(front.head(), &frame[..HEAD_MAX]);
    assert_eq!(front.with_header(HeaderForm::Long, 1).len(), 256);
}
