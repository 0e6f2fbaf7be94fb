use super::{GUESTS, topology};

#[test]
fn what_is_a_guest_on_one_host_is_a_mapping_on_the_other() {
    let documents = [topology(0, 1000), topology(1, 1000)];
    for (index, document) in documents.iter().enumerate() {
        let other = &documents[1 - index];
        let guest = &document["guests"][GUESTS[index]];
        let mapping = &other["mappings"][0];
        assert_eq!(guest["address"], mapping["address"]);
        assert_eq!(guest["mac"], mapping["mac"]);
        assert_eq!(document["uplink"]["providerAddress"], mapping["provider"]);
        assert_eq!(document["vnets"], other["vnets"]);
        assert_eq!(document["nsgs"], other["nsgs"]);
    }
    assert_ne!(documents[0]["name"], documents[1]["name"]);
}
