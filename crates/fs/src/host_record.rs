//! What an imported file was on the host when it was read: by this a later look tells whether it
//! has changed since.
//!
//! ```text
//!  0  version  1  flags
//!  2  file system u64  10  number u64  18  size u64
//! 26  mtime  38  ctime  50  time of birth: seconds i64, nanoseconds u32 each
//! ```
//!
//! 62 bytes, little-endian.

use tine_store::ReadTxn;

use crate::{Error, Ino, Result, Time, key};

const VERSION: u8 = 1;
const BYTES: usize = 62;
const FLAG_SETTLED: u8 = 1;

/// What an imported file was on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRecord {
    /// Stands for the file system; the same after a reboot.
    pub filesystem: u64,
    /// Its inode number there.
    pub number: u64,
    /// Its length in bytes, as `stat(2)` tells it.
    pub size: u64,
    /// The last change of its data.
    pub mtime: Time,
    /// The last change of its data or attributes.
    pub ctime: Time,
    /// Its birth, where the file system knows it; else 1970.
    pub birth: Time,
    /// Its last change was so long before it was read that a later one has another time.
    pub settled: bool,
}

impl HostRecord {
    pub(crate) fn encode(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[0] = VERSION;
        out[1] = if self.settled { FLAG_SETTLED } else { 0 };
        let numbers = [self.filesystem, self.number, self.size];
        for (number, place) in numbers.iter().zip(out[2..26].chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let times = [self.mtime, self.ctime, self.birth];
        for (time, place) in times.iter().zip(out[26..].chunks_exact_mut(12)) {
            place[..8].copy_from_slice(&time.secs.to_le_bytes());
            place[8..].copy_from_slice(&time.nanos.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(ino: Ino, bytes: &[u8]) -> Result<HostRecord> {
        let damaged = Error::Damaged { ino, what: "the record of the host" };
        let Ok(bytes) = <&[u8; BYTES]>::try_from(bytes) else { return Err(damaged) };
        let long = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let time = |at: usize| {
            let mut nanos = [0; 4];
            nanos.copy_from_slice(&bytes[at + 8..at + 12]);
            Time { secs: long(at) as i64, nanos: u32::from_le_bytes(nanos) }
        };
        let record = HostRecord {
            filesystem: long(2),
            number: long(10),
            size: long(18),
            mtime: time(26),
            ctime: time(38),
            birth: time(50),
            settled: bytes[1] & FLAG_SETTLED != 0,
        };
        let times = [record.mtime, record.ctime, record.birth];
        let can_be = bytes[0] == VERSION
            && bytes[1] & !FLAG_SETTLED == 0
            && times.iter().all(|time| time.nanos < 1_000_000_000);
        if can_be { Ok(record) } else { Err(damaged) }
    }

    /// The record of an inode of a snapshot, if it was imported.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn of(txn: &ReadTxn, ino: Ino) -> Result<Option<HostRecord>> {
        let bytes = txn.get(&key::of(key::HOST, ino))?;
        bytes.map(|bytes| HostRecord::decode(ino, &bytes)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HostRecord {
        let time = |secs| Time { secs, nanos: 999_999_999 };
        HostRecord {
            filesystem: 0x1122_3344_5566_7788,
            number: 42,
            size: 1 << 40,
            mtime: time(-1),
            ctime: time(2),
            birth: time(3),
            settled: true,
        }
    }

    #[test]
    fn the_bytes_of_a_record_stay_as_they_are_drawn() {
        let hex: String = sample().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "0101",
            "8877665544332211",
            "2a00000000000000",
            "0000000000010000",
            "ffffffffffffffffffc99a3b",
            "0200000000000000ffc99a3b",
            "0300000000000000ffc99a3b",
        );
        assert_eq!(hex, golden);
        assert_eq!(HostRecord::decode(Ino::new(7), &sample().encode()).unwrap(), sample());
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_by_number() {
        let good = sample().encode();
        for (at, byte) in [(0, 2), (1, 2), (37, 0x3c), (49, 0x3c), (61, 0x3c)] {
            let mut bytes = good;
            bytes[at] = byte;
            let error = HostRecord::decode(Ino::new(7), &bytes).unwrap_err();
            assert_eq!(error.to_string(), "damaged file tree: the record of the host of inode 7");
        }
        assert!(HostRecord::decode(Ino::new(7), &good[1..]).is_err());
    }
}
