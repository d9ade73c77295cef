//! The header of a file tree: the seed of its hash.
//!
//! ```text
//! version u8 (2) · seed u64 (of the hash of names)
//! ```
//!
//! Version 1 had one more `u64` behind it, the first inode number that was not reserved. Its trees
//! have small numbers only, and get a header of this version with their first new file.

use tine_store::{Branch, ReadTxn};

use crate::name_hash::Seed;
use crate::{Error, Result, key};

const VERSION: u8 = 2;
const BYTES: usize = 9;
const BYTES_OF_VERSION_1: usize = 17;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub seed: Seed,
}

impl Header {
    pub fn encode(&self) -> [u8; BYTES] {
        let mut out = [VERSION; BYTES];
        out[1..].copy_from_slice(&self.seed.0.to_le_bytes());
        out
    }

    /// Decodes the header of a branch.
    pub fn decode(branch: &Branch, bytes: Option<Vec<u8>>) -> Result<Header> {
        match bytes {
            Some(bytes) => Header::parse(&branch.name(), &bytes),
            None => Err(Error::NotFormatted { branch: branch.name() }),
        }
    }

    /// Decodes a header; errors name `branch`.
    pub fn parse(branch: &str, bytes: &[u8]) -> Result<Header> {
        let seed = match *bytes {
            [VERSION, ref seed @ ..] if bytes.len() == BYTES => seed,
            [1, ref seed @ ..] if bytes.len() == BYTES_OF_VERSION_1 => &seed[..8],
            [found, ..] if found > VERSION => {
                return Err(Error::Version { branch: branch.into(), found, known: VERSION });
            }
            _ => return Err(Error::DamagedTree { what: "the header" }),
        };
        let mut number = [0; 8];
        number.copy_from_slice(seed);
        Ok(Header { seed: Seed(u64::from_le_bytes(number)) })
    }

    /// The seed of a snapshot's hash; 0 where there is no header, and so no names.
    pub fn seed(txn: &ReadTxn) -> Result<Seed> {
        match txn.get(key::HEADER)? {
            Some(bytes) => Ok(Header::parse("", &bytes)?.seed),
            None => Ok(Seed(0)),
        }
    }

    pub fn read(branch: &Branch) -> Result<Header> {
        Header::decode(branch, branch.read()?.get(key::HEADER)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_header_stay_as_they_are_drawn() {
        let header = Header { seed: Seed(0x1122_3344_5566_7788) };
        let bytes = *b"\x02\x88\x77\x66\x55\x44\x33\x22\x11";
        assert_eq!(header.encode(), bytes);
        assert_eq!(Header::parse("main", &bytes).unwrap(), header);
    }

    #[test]
    fn the_header_of_version_1_is_read_and_others_are_refused() {
        let first = *b"\x01\x88\x77\x66\x55\x44\x33\x22\x11\x02\x10\x00\x00\x00\x00\x00\x00";
        let seed = Seed(0x1122_3344_5566_7788);
        assert_eq!(Header::parse("main", &first).unwrap(), Header { seed });
        for wrong in [&b""[..], b"\x01", &first[..16], b"\x02", b"\x00aaaaaaaa"] {
            let error = Header::parse("main", wrong).unwrap_err();
            assert!(matches!(error, Error::DamagedTree { .. }), "{wrong:?}");
        }
        let later = Header::parse("main", b"\x03").unwrap_err();
        assert!(matches!(later, Error::Version { found: 3, known: 2, .. }));
    }
}
