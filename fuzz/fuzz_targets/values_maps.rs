//! Edits of forked maps, ordered and by hash, against std's: every version must equal its model,
//! patches must lead from one to another, and a merge with an untouched fork must be the other
//! side.

#![no_main]

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};

use libfuzzer_sys::fuzz_target;
use tine_values::{HashMap, OrdMap};

/// Few hashes, so that keys collide at every depth.
#[derive(Default)]
struct Few(u64);

impl Hasher for Few {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte & 3);
        }
    }
}

type Hashed = HashMap<u16, u8, BuildHasherDefault<Few>>;

#[derive(Clone)]
struct Version {
    ordered: OrdMap<u16, u8>,
    hashed: Hashed,
    model: BTreeMap<u16, u8>,
}

impl Version {
    fn new() -> Version {
        let model: BTreeMap<u16, u8> = (0..300).map(|n| (n * 13, n as u8)).collect();
        Version {
            ordered: model.clone().into_iter().collect(),
            hashed: model.clone().into_iter().collect(),
            model,
        }
    }

    fn edit(&mut self, what: u8, key: u16, value: u8) {
        match what {
            0 => {
                let old = self.model.insert(key, value);
                assert_eq!(self.ordered.insert(key, value), old);
                assert_eq!(self.hashed.insert(key, value), old);
            }
            1 => {
                let old = self.model.remove(&key);
                assert_eq!(self.ordered.remove(&key), old);
                assert_eq!(self.hashed.remove(&key), old);
            }
            2 => {
                *self.model.entry(key).or_insert(0) ^= value;
                *self.ordered.entry(key).or_insert(0) ^= value;
                *self.hashed.entry(key).or_insert(0) ^= value;
            }
            3 => {
                let keep = |key: &u16, old: &mut u8| {
                    *old = old.wrapping_add(1);
                    key % 16 != u16::from(value % 16)
                };
                self.model.retain(keep);
                self.ordered.retain(keep);
                self.hashed.retain(keep);
            }
            4 => {
                let mut tail = self.model.split_off(&key);
                let mut ordered = self.ordered.split_off(&key);
                assert!(ordered.iter().eq(&tail));
                if value % 2 == 0 {
                    self.model.append(&mut tail);
                    self.ordered.append(&mut ordered);
                } else {
                    self.hashed.retain(|other, _| *other < key);
                }
            }
            _ => {
                let end = key.saturating_add(u16::from(value));
                assert!(self.ordered.range(key..end).eq(self.model.range(key..end)));
                for (_, old) in self.ordered.range_mut(key..end) {
                    *old = !*old;
                }
                for (other, old) in self.model.range_mut(key..end) {
                    *old = !*old;
                    self.hashed.insert(*other, *old);
                }
            }
        }
    }

    fn check(&self) {
        assert!(self.ordered.iter().eq(&self.model));
        let mut hashed: Vec<_> = self.hashed.iter().collect();
        hashed.sort();
        assert!(hashed.into_iter().eq(&self.model));
        assert!(self.model.iter().all(|(key, value)| self.hashed.get(key) == Some(value)));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut versions = vec![Version::new()];
    for step in data.chunks_exact(4).take(200) {
        let which = usize::from(step[1]) % versions.len();
        if step[0] & 0x80 != 0 && versions.len() < 5 {
            versions.push(versions[which].clone());
        }
        let key = u16::from_le_bytes([step[2], step[3]]) % 4096;
        versions[which].edit(step[0] % 6, key, step[1]);
    }
    let first = versions[0].clone();
    for version in &versions {
        version.check();
        let fits = "a patch fits where it was made";
        let mut ordered = first.ordered.clone();
        ordered.apply(&first.ordered.diff(&version.ordered).to_patch()).expect(fits);
        assert!(ordered == version.ordered);
        let mut hashed = first.hashed.clone();
        hashed.apply(&first.hashed.diff(&version.hashed).to_patch()).expect(fits);
        assert!(hashed == version.hashed);
        let merged =
            OrdMap::merge3(&first.ordered, &first.ordered, &version.ordered, |_| unreachable!());
        assert!(merged == version.ordered);
        let merged =
            HashMap::merge3(&first.hashed, &version.hashed, &first.hashed, |_| unreachable!());
        assert!(merged == version.hashed);
    }
});
