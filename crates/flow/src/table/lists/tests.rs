use std::collections::VecDeque;

use proptest::prelude::*;

use super::{ListId, Lists};

const NODES: u32 = 12;
const LISTS: u32 = 130;

#[test]
fn unlinking_a_loose_node_changes_nothing() {
    let mut lists = Lists::new(4, 1);
    lists.push_back(ListId(0), 2);
    lists.unlink(3);
    assert_eq!(lists.front(ListId(0)), Some(2));
    assert_eq!(lists.first_occupied(0..1), Some(ListId(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn behaves_as_queues(
        moves in prop::collection::vec((0..NODES, 0..LISTS, any::<bool>()), 0..80),
    ) {
        let mut lists = Lists::new(NODES, LISTS);
        let mut oracle = vec![VecDeque::new(); LISTS as usize];
        for (node, list, push) in moves {
            lists.unlink(node);
            oracle.iter_mut().for_each(|queue: &mut VecDeque<u32>| queue.retain(|&n| n != node));
            if push {
                lists.push_back(ListId(list), node);
                oracle[list as usize].push_back(node);
            }
            for (id, queue) in (0..).zip(&oracle) {
                prop_assert_eq!(lists.front(ListId(id)), queue.front().copied());
            }
            let expected = (list..LISTS).find(|&id| !oracle[id as usize].is_empty());
            prop_assert_eq!(lists.first_occupied(list..LISTS), expected.map(ListId));
            prop_assert_eq!(lists.first_occupied(list..list), None);
        }
    }
}
