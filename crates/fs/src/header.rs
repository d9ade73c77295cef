//! The header of a file tree: the seed of its hash, and which inode numbers are reserved.
//!
//! ```text
//! version u8 · seed u64 (of the hash of names) · next u64 (the first number that is not reserved)
//! ```

use tine_store::{Branch, ReadTxn};

use crate::name_hash::Seed;
use crate::{Error, Ino, Result, key};

const VERSION: u8 = 1;
const BYTES: usize = 17;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub seed: Seed,
    pub next: Ino,
}

impl Header {
    pub fn encode(&self) -> [u8; BYTES] {
        let mut out = [VERSION; BYTES];
        out[1..9].copy_from_slice(&self.seed.0.to_le_bytes());
        out[9..].copy_from_slice(&self.next.get().to_le_bytes());
        out
    }

    /// Decodes the header of a branch.
    pub fn decode(branch: &Branch, bytes: Option<Vec<u8>>) -> Result<Header> {
        match bytes {
            Some(bytes) => Header::parse(&branch.name(), bytes),
            None => Err(Error::NotFormatted { branch: branch.name() }),
        }
    }

    /// Decodes a header; errors name `branch`.
    pub fn parse(branch: &str, bytes: Vec<u8>) -> Result<Header> {
        match <[u8; BYTES]>::try_from(bytes) {
            Ok([VERSION, rest @ ..]) => {
                let [seed, next] = [0, 8].map(|at| {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(&rest[at..at + 8]);
                    u64::from_le_bytes(bytes)
                });
                Ok(Header { seed: Seed(seed), next: Ino::new(next) })
            }
            Ok([found, ..]) if found > VERSION => {
                Err(Error::Version { branch: branch.into(), found, known: VERSION })
            }
            _ => Err(Error::DamagedTree { what: "the header" }),
        }
    }

    /// The seed of a snapshot's hash; 0 where there is no header, and so no names.
    pub fn seed(txn: &ReadTxn) -> Result<Seed> {
        match txn.get(key::HEADER)? {
            Some(bytes) => Ok(Header::parse("", bytes)?.seed),
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
        let header = Header { seed: Seed(0x1122_3344_5566_7788), next: Ino::new(4098) };
        let bytes = *b"\x01\x88\x77\x66\x55\x44\x33\x22\x11\x02\x10\x00\x00\x00\x00\x00\x00";
        assert_eq!(header.encode(), bytes);
        assert_eq!(Header::parse("main", bytes.to_vec()).unwrap(), header);
    }
}
