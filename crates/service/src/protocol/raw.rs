//! Bytes that may be no text, as JSON carries them: base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes, written as base64 (RFC 4648, with padding).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBytes(pub Vec<u8>);

impl RawBytes {
    /// The bytes where a text cannot stand for them; `None` where they are UTF-8.
    pub fn unless_text(bytes: &[u8]) -> Option<RawBytes> {
        std::str::from_utf8(bytes).is_err().then(|| RawBytes(bytes.to_vec()))
    }
}

impl Serialize for RawBytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for RawBytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RawBytes, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map(RawBytes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_cross_as_base64() {
        assert_eq!(RawBytes::unless_text(b"plain"), None);
        let raw = RawBytes::unless_text(b"a\xff").unwrap();
        let json = serde_json::to_string(&raw).unwrap();
        assert_eq!(json, r#""Yf8=""#);
        assert_eq!(serde_json::from_str::<RawBytes>(&json).unwrap(), raw);
        assert!(serde_json::from_str::<RawBytes>(r#""?""#).is_err());
    }
}
