//! Values that are text in JSON.

/// [`wire::MacAddr`] as `02:00:5e:10:00:01`.
pub(super) mod mac {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use wire::MacAddr;

    pub(in crate::topology) fn serialize<S: Serializer>(
        mac: &MacAddr,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(mac)
    }

    pub(in crate::topology) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<MacAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
