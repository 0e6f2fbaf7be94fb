use super::{BLOCKS, topology};

#[test]
fn the_group_has_a_thousand_rules_and_denies_what_none_of_them_allows() {
    let document = topology();
    let rules = document["nsgs"]["rules"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 1000);
    let mut by_priority: Vec<_> = rules
        .iter()
        .map(|rule| (rule["priority"].as_u64().unwrap(), rule))
        .collect();
    by_priority.sort_by_key(|(priority, _)| *priority);
    by_priority.dedup_by_key(|(priority, _)| *priority);
    assert_eq!(by_priority.len(), 1000, "a priority is there twice");
    let flows = usize::try_from(BLOCKS).unwrap();
    assert!(
        by_priority[..flows]
            .iter()
            .all(|(_, rule)| rule["protocol"] == "Udp" && rule["access"] == "Allow")
    );
    assert_eq!(by_priority[998].1["destination"], "198.18.1.4/32");
    assert_eq!(by_priority[999].1["access"], "Deny");
}
