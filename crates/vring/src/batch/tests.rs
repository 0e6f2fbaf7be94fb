use super::*;

#[test]
fn a_batch_has_room_within_its_limits() {
    assert_eq!(Batch::new(0).capacity(), 1);
    assert_eq!(Batch::new(64).capacity(), 64);
    assert_eq!(Batch::new(usize::MAX).capacity(), CHAINS_MAX);
    // Segments are named by 16 bits.
    assert!(Batch::new(usize::MAX).segments.len() <= usize::from(u16::MAX));
    let batch = Batch::new(4);
    assert!(batch.is_empty() && batch.chain(0).is_none());
}

#[test]
fn a_record_of_one_buffer_is_the_same_however_it_is_made() {
    for (flags, writable) in [(0, false), (crate::layout::WRITE, true)] {
        let segment = Segment::EMPTY;
        let mut gathered = Slot::begin(3);
        assert!(gathered.lengthen(1500, writable));
        gathered.add(writable);
        let segments = [segment; 4];
        let (readable, written) = if writable { (0, 1) } else { (1, 0) };
        assert_eq!(gathered.readable(&segments).len(), readable);
        assert_eq!(gathered.writable(&segments).len(), written);
        assert_eq!(gathered.writable_len(), if writable { 1500 } else { 0 });
        assert!(!gathered.lengthen(u32::MAX, writable));
        assert!(gathered.lengthen(u32::MAX, !writable));

        let mut single = gathered.clone();
        single.set_single(7, segment, flags);
        assert_eq!(single.readable(&[]).len(), readable);
        assert_eq!(single.writable(&[]).len(), written);
        assert_eq!((single.readable_len(), single.writable_len()), (0, 0));
        single.set_written(1);
        assert!(single.is_used_whole());
    }
}
