//! What the engine's tests compare a store with: plain maps.

#![allow(dead_code)] // Each test file uses its part.

pub mod judge;
pub mod life;
pub mod world;

use std::collections::BTreeMap;
use std::ops::Bound;
use tine_store::{BLOCK_BYTES, Options, ReadTxn, Result, Store, Value};

/// All of a branch: inline values by key; blocks of data, shortened to the number that fills them,
/// by map and block number.
pub type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// No threads of its own: what happens follows from the calls alone.
pub fn quiet() -> Options {
    let mut options = Options::default();
    options.background = false;
    options.cache_bytes = 1 << 16;
    options
}

/// Blocks of data, each filled with its own number counted from `first`.
pub fn numbered(first: u64, blocks: u64) -> Vec<u8> {
    (first..first + blocks).flat_map(|n| n.to_le_bytes().repeat(BLOCK_BYTES / 8)).collect()
}

/// The key of a block of data.
pub fn block_key(map: &[u8], block: u64) -> Vec<u8> {
    [map, &block.to_be_bytes()].concat()
}

/// Reads everything that a snapshot reaches, block by block.
pub fn read_content(txn: &ReadTxn) -> Result<Content> {
    let mut content = Content::new();
    for entry in txn.range(Bound::Unbounded, Bound::Unbounded) {
        let (key, value) = entry?;
        match value {
            Value::Bytes(bytes) => {
                assert_eq!(txn.get(&key)?.as_ref(), Some(&bytes), "range and get agree");
                content.insert(key, bytes);
            }
            Value::Extent { blocks, .. } => {
                let (map, first) = key.split_at(key.len() - 8);
                let first = u64::from_be_bytes(first.try_into().expect("eight bytes"));
                let mut data = vec![0; blocks as usize * BLOCK_BYTES];
                txn.read_map(map, first * BLOCK_BYTES as u64, &mut data)?;
                for (bytes, block) in data.chunks(BLOCK_BYTES).zip(first..) {
                    assert!(bytes.chunks(8).all(|n| n == &bytes[..8]), "a block mixes contents");
                    content.insert(block_key(map, block), bytes[..8].to_vec());
                }
            }
        }
    }
    Ok(content)
}

/// The content of every branch, by name.
pub fn read_branches(store: &Store) -> Result<BTreeMap<String, Content>> {
    let infos = store.branches()?;
    infos
        .into_iter()
        .map(|info| Ok((info.name.clone(), read_content(&store.branch(&info.name)?.read()?)?)))
        .collect()
}

/// The checker finds nothing at all.
pub fn assert_sound(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

/// Splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a failing seed fails again.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}
