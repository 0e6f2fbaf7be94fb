use std::fmt::Write as _;

use crate::args::NicName;

/// What stands for the only NIC of a guest.
const ONLY_NIC: &str = "-";

/// A path of the API with its query. Names are encoded: none of them reaches another resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route(String);

impl Route {
    /// `/v1/` and these segments.
    pub(crate) fn new(segments: &[&str]) -> Self {
        let mut path = "/v1".to_owned();
        for segment in segments {
            path.push('/');
            encode(&mut path, segment);
        }
        Self(path)
    }

    /// Something of a NIC.
    pub(crate) fn nic(name: &NicName, tail: &[&str]) -> Self {
        let nic = name.nic.as_deref().unwrap_or(ONLY_NIC);
        let segments: Vec<&str> = ["nics", &name.guest, nic]
            .into_iter()
            .chain(tail.iter().copied())
            .collect();
        Self::new(&segments)
    }

    /// With one more parameter.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        encode(&mut self.0, key);
        self.0.push('=');
        encode(&mut self.0, value);
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Everything but the unreserved characters of RFC 3986, section 2.3. A segment of nothing but dots
/// would be taken for a step in the tree (section 5.2.4), so its dots are encoded too.
fn encode(out: &mut String, text: &str) {
    let dots = text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        match byte {
            b'.' if dots => out.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(text: &str) -> NicName {
        text.parse().expect(text)
    }

    #[test]
    fn a_guest_alone_means_its_only_nic() {
        assert_eq!(
            Route::nic(&nic("web-1"), &["stats"]).as_str(),
            "/v1/nics/web-1/-/stats"
        );
        assert_eq!(
            Route::nic(&nic("web-1/eth0"), &[]).as_str(),
            "/v1/nics/web-1/eth0"
        );
    }

    #[test]
    fn a_name_cannot_leave_its_place() {
        assert_eq!(
            Route::new(&["guests", "../nics"]).as_str(),
            "/v1/guests/..%2Fnics"
        );
        assert_eq!(Route::new(&["guests", ".."]).as_str(), "/v1/guests/%2E%2E");
        assert_eq!(
            Route::new(&["guests", "a?b#ü"]).as_str(),
            "/v1/guests/a%3Fb%23%C3%BC"
        );
    }

    #[test]
    fn parameters_follow_each_other() {
        let route = Route::new(&["drops"]).with("limit", "5").with("a b", "&");
        assert_eq!(route.as_str(), "/v1/drops?limit=5&a%20b=%26");
    }
}
