//! The state of all branches at once, as plain maps.

use super::{Content, Dice, quiet, read_content};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tine_store::{BLOCK_BYTES, Device, MemoryDevice, Options, Result, Scripted, Store};
use xxhash_rust::xxh3::xxh3_128;

/// A branch: its content, that of its fork point, whether it is sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BranchState {
    pub content: Content,
    pub base: Option<Arc<Content>>,
    pub sealed: bool,
}

/// Branches by name.
pub type World = BTreeMap<String, Arc<BranchState>>;

/// Reads all that a store holds.
pub fn read_world(store: &Store) -> Result<World> {
    let mut world = World::new();
    for info in store.branches()? {
        let branch = store.branch(&info.name)?;
        let base = branch.fork_point()?.map(|base| read_content(&base)).transpose()?;
        let content = read_content(&branch.read()?)?;
        let state = BranchState { content, base: base.map(Arc::new), sealed: info.sealed };
        world.insert(info.name, Arc::new(state));
    }
    Ok(world)
}

/// What tells one world from another, in words.
pub fn difference(found: &World, expected: &World) -> String {
    for (name, state) in expected {
        match found.get(name) {
            None => return format!("{name} is missing"),
            Some(other) if other == state => {}
            Some(other) if other.content == state.content => {
                return format!("{name} has another fork point or seal");
            }
            Some(other) => {
                let keys = state.content.keys().chain(other.content.keys());
                let wrong = keys.filter(|key| other.content.get(*key) != state.content.get(*key));
                let wrong: Vec<_> = wrong.map(|key| String::from_utf8_lossy(key)).collect();
                return format!("{name} differs at {wrong:?}");
            }
        }
    }
    let more: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
    format!("there are more branches: {more:?}")
}

/// Options of a run that its seed decides. One run in a few has a clock that stands still, so that
/// a journal that fills moves to its large ring.
pub fn scripted(seed: u64) -> Options {
    let step = if Dice(seed).roll(60) == 0 { Duration::ZERO } else { Duration::from_secs(60) };
    let mut options = quiet();
    options.environment = Arc::new(Scripted::new(seed, step));
    options
}

/// A store with one empty branch, durable and closed, whose journal has this many blocks.
pub fn one_branch(ring_blocks: u64, options: &Options) -> MemoryDevice {
    let disk = Arc::new(MemoryDevice::new());
    Store::create_on(disk.clone(), options).unwrap().close().unwrap();
    shorten_ring(&disk, ring_blocks);
    let store = Store::open_on(disk.clone(), options).unwrap();
    store.create_branch("main").unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    disk.clone_contents()
}

/// Forges the superblock of a new store: a short journal wraps and fills soon.
fn shorten_ring(disk: &MemoryDevice, ring_blocks: u64) {
    const SLOT: u64 = 256 * BLOCK_BYTES as u64;
    const RING_BLOCKS_AT: usize = 80;
    let mut block = vec![0; BLOCK_BYTES];
    disk.read_at(SLOT, &mut block).unwrap();
    let (body, sum) = block.split_at_mut(BLOCK_BYTES - 16);
    let field = &mut body[RING_BLOCKS_AT..RING_BLOCKS_AT + 8];
    assert_eq!(field, 1536u64.to_le_bytes(), "the field of the superblock is where it was");
    field.copy_from_slice(&ring_blocks.to_le_bytes());
    sum.copy_from_slice(&xxh3_128(body).to_le_bytes());
    disk.write_at(SLOT, &block.repeat(2)).unwrap();
}
