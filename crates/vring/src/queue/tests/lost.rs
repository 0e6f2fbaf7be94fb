//! Memory that changes under a queue: truncated files, and tables that gain and lose regions.

use super::*;

#[test]
fn a_truncated_file_stops_the_queue_and_nothing_else() {
    fault::install().unwrap();
    let (victim, other) = (Guest::new(), Guest::new());
    let mut queue = victim.start(Features::VERSION_1);
    let mut bystander = other.start(Features::VERSION_1);
    for guest in [&victim, &other] {
        let buffer = descriptor(BUFFERS, 64, 0, 0);
        guest.put_words(DESCRIPTORS, buffer.to_split());
        guest.put16(DRIVER + 2, 1);
    }
    ftruncate(&victim.files[0], 0).unwrap();

    // The access that meets the hole reads zeros, as if the driver had offered nothing.
    let mut batch = Batch::new(4);
    assert_eq!(queue.pop(&mut batch, 4), Ok(0));
    assert_eq!(broken(&mut queue).kind, BrokenKind::MemoryLost);
    assert_eq!(bystander.pop(&mut batch, 4), Ok(1));
    assert!(!victim.memory.is_intact());
    assert!(other.memory.is_intact());

    let again = Queue::start(
        victim.layout,
        Features::VERSION_1,
        &victim.memory,
        Position::split(0),
        None,
    );
    assert_eq!(
        again.unwrap().broken().unwrap().kind,
        BrokenKind::MemoryLost
    );
}

#[test]
fn a_queue_goes_on_with_another_table() {
    let guest = Guest::new();
    let mut queue = guest.start(Features::VERSION_1);
    let outside = descriptor(BORDER + 64, 64, 0, 0);
    guest.put_words(DESCRIPTORS, outside.to_split());
    guest.put16(DRIVER + 2, 1);
    let mut batch = Batch::new(4);
    assert_eq!(queue.pop(&mut batch, 4), Ok(1));

    let regions: Vec<Region> = guest.memory.regions().collect();
    let less = guest.memory.without_region(regions[1]).unwrap();
    queue.set_memory(less.clone()).unwrap();
    // What was taken stays readable, and what is offered now is not.
    guest.put(BORDER + 64, b"kept");
    let mut bytes = [0; 4];
    let chain = batch.chain(0).unwrap();
    chain.readable().read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
    guest.put16(DRIVER + 2, 2);
    assert_eq!(broken(&mut queue).kind, BrokenKind::AddressOutside);

    let without_rings = guest.memory.without_region(regions[0]).unwrap();
    let refused = queue.set_memory(without_rings).unwrap_err();
    assert!(matches!(refused, StartError::Outside(_)));
}
