//! Random histories of branches against plain maps: every branch equals its model after every step,
//! survives closing and power cuts, and the checker finds nothing.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use tine_store::{
    BLOCK_BYTES, Device, LossyDevice, MemoryDevice, Options, Store, Survivors, Value,
};

/// A branch as the model sees it: inline entries, and one block of data per (map, block).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    blocks: BTreeMap<(u8, u64), u8>,
}

#[derive(Debug, Clone)]
enum Step {
    Put { branch: usize, key: u16, len: usize },
    Delete { branch: usize, key: u16 },
    Fill { branch: usize, count: u16 },
    Clear { branch: usize, from: u16, count: u16 },
    Map { branch: usize, map: u8, block: u64, blocks: u64, byte: u8 },
    Unmap { branch: usize, map: u8, block: u64, blocks: u64 },
    Share { branch: usize, from: u8, from_block: u64, to_block: u64, blocks: u64 },
    Fork { branch: usize, sealed: bool },
    DeleteBranch { branch: usize },
    Rename { branch: usize },
    Reset { branch: usize, to: usize },
    ResetToBase { branch: usize },
    Sync,
    Checkpoint,
    Reclaim,
    Reopen,
    PowerCut { seed: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let b = || 0..8usize;
    prop_oneof![
        8 => (b(), any::<u16>(), 0..1500usize).prop_map(|(branch, key, len)| Step::Put { branch, key: key % 400, len }),
        4 => (b(), any::<u16>()).prop_map(|(branch, key)| Step::Delete { branch, key: key % 400 }),
        2 => (b(), 1..300u16).prop_map(|(branch, count)| Step::Fill { branch, count }),
        2 => (b(), any::<u16>(), 1..300u16).prop_map(|(branch, from, count)| Step::Clear { branch, from: from % 400, count }),
        8 => (b(), 0..3u8, 0..600u64, 1..40u64, any::<u8>()).prop_map(|(branch, map, block, blocks, byte)| Step::Map { branch, map, block, blocks, byte }),
        4 => (b(), 0..3u8, 0..600u64, 1..200u64).prop_map(|(branch, map, block, blocks)| Step::Unmap { branch, map, block, blocks }),
        3 => (b(), 0..3u8, 0..600u64, 0..600u64, 1..100u64).prop_map(|(branch, from, from_block, to_block, blocks)| Step::Share { branch, from, from_block, to_block, blocks }),
        5 => (b(), prop::bool::weighted(0.2)).prop_map(|(branch, sealed)| Step::Fork { branch, sealed }),
        3 => b().prop_map(|branch| Step::DeleteBranch { branch }),
        1 => b().prop_map(|branch| Step::Rename { branch }),
        2 => (b(), b()).prop_map(|(branch, to)| Step::Reset { branch, to }),
        2 => b().prop_map(|branch| Step::ResetToBase { branch }),
        2 => Just(Step::Sync),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Reclaim),
        1 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(|seed| Step::PowerCut { seed }),
    ]
}

fn key(n: u16) -> Vec<u8> {
    let mut key = format!("entry/{:03}", n % 400).into_bytes();
    key.resize(10 + usize::from(n % 60), b'x');
    key
}

fn map_name(map: u8) -> Vec<u8> {
    vec![b'~', map]
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct World {
    /// Name → (content, content at the fork point, sealed).
    branches: BTreeMap<String, (Model, Option<Model>, bool)>,
}

struct Run {
    disk: Arc<MemoryDevice>,
    lossy: Arc<LossyDevice>,
    store: Option<Store>,
    now: World,
    /// The world after every change since the last sync, oldest first; the first one is durable.
    history: Vec<World>,
    names: u32,
}

fn options() -> Options {
    let mut options = Options::default();
    options.background = false;
    options.cache_bytes = 1 << 16;
    options
}

impl Run {
    fn new() -> Run {
        let disk = Arc::new(MemoryDevice::new());
        let lossy = Arc::new(LossyDevice::over(disk.clone(), false).unwrap());
        let store = Store::create_on(lossy.clone(), &options()).unwrap();
        store.create_branch("main").unwrap();
        store.sync().unwrap();
        let mut now = World::default();
        now.branches.insert("main".into(), Default::default());
        Run { disk, lossy, store: Some(store), history: vec![now.clone()], now, names: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn name(&self, pick: usize) -> String {
        self.now.branches.keys().nth(pick % self.now.branches.len()).unwrap().clone()
    }

    fn changed(&mut self) {
        self.history.push(self.now.clone());
    }

    fn durable(&mut self) {
        self.history = vec![self.now.clone()];
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("b{}", self.names)
    }

    fn write(
        &mut self,
        pick: usize,
        change: impl FnOnce(&mut Model, &tine_store::Branch, &mut tine_store::WriteTxn<'_>),
    ) {
        let name = self.name(pick);
        let branch = self.store().branch(&name).unwrap();
        let (model, _, sealed) = self.now.branches.get_mut(&name).unwrap();
        if *sealed {
            assert!(branch.write().is_err(), "a snapshot takes no writes");
            return;
        }
        let mut txn = branch.write().unwrap();
        change(model, &branch, &mut txn);
        txn.commit().unwrap();
        self.changed();
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Put { branch, key: k, len } => self.write(branch, |model, _, txn| {
                let value = vec![k as u8; len];
                txn.put(&key(k), &value).unwrap();
                model.entries.insert(key(k), value);
            }),
            Step::Delete { branch, key: k } => self.write(branch, |model, _, txn| {
                txn.delete(&key(k)).unwrap();
                model.entries.remove(&key(k));
            }),
            Step::Fill { branch, count } => self.write(branch, |model, _, txn| {
                for n in 0..count {
                    txn.put(&key(n), &[n as u8; 90]).unwrap();
                    model.entries.insert(key(n), vec![n as u8; 90]);
                }
            }),
            Step::Clear { branch, from, count } => self.write(branch, |model, _, txn| {
                for n in from..from + count {
                    txn.delete(&key(n)).unwrap();
                    model.entries.remove(&key(n));
                }
            }),
            Step::Map { branch, map, block, blocks, byte } => {
                self.write(branch, |model, branch, txn| {
                    let data = vec![byte; blocks as usize * BLOCK_BYTES];
                    txn.map(&map_name(map), block, branch.stage(&data).unwrap()).unwrap();
                    model.blocks.extend((block..block + blocks).map(|b| ((map, b), byte)));
                })
            }
            Step::Unmap { branch, map, block, blocks } => self.write(branch, |model, _, txn| {
                txn.unmap(&map_name(map), block..block + blocks).unwrap();
                model.blocks.retain(|(m, b), _| *m != map || !(block..block + blocks).contains(b));
            }),
            Step::Share { branch, from, from_block, to_block, blocks } => {
                self.write(branch, |model, _, txn| {
                    let to = (from + 1) % 3;
                    txn.share(
                        &map_name(from),
                        from_block..from_block + blocks,
                        &map_name(to),
                        to_block,
                    )
                    .unwrap();
                    for i in 0..blocks {
                        match model.blocks.get(&(from, from_block + i)).copied() {
                            Some(byte) => model.blocks.insert((to, to_block + i), byte),
                            None => model.blocks.remove(&(to, to_block + i)),
                        };
                    }
                })
            }
            Step::Fork { branch, sealed } => {
                let (from, new) = (self.name(branch), self.new_name());
                if sealed {
                    self.store().snapshot(&from, &new).unwrap();
                } else {
                    self.store().fork(&from, &new).unwrap();
                }
                let content = self.now.branches[&from].0.clone();
                self.now.branches.insert(new, (content.clone(), Some(content), sealed));
                self.changed();
            }
            Step::DeleteBranch { branch } => {
                if self.now.branches.len() > 1 {
                    let name = self.name(branch);
                    self.store().delete(&name).unwrap();
                    self.now.branches.remove(&name);
                    self.changed();
                }
            }
            Step::Rename { branch } => {
                let (old, new) = (self.name(branch), self.new_name());
                self.store().rename(&old, &new).unwrap();
                let content = self.now.branches.remove(&old).unwrap();
                self.now.branches.insert(new, content);
                self.changed();
            }
            Step::Reset { branch, to } => {
                let (name, to) = (self.name(branch), self.name(to));
                let target = self.now.branches[&to].0.clone();
                let entry = self.now.branches.get_mut(&name).unwrap();
                if entry.2 {
                    assert!(self.store.as_ref().unwrap().reset(&name, Some(&to)).is_err());
                } else {
                    if name != to {
                        *entry = (target.clone(), Some(target), false);
                    }
                    self.store().reset(&name, Some(&to)).unwrap();
                    self.changed();
                }
            }
            Step::ResetToBase { branch } => {
                let name = self.name(branch);
                let entry = self.now.branches.get_mut(&name).unwrap();
                match (&entry.1, entry.2) {
                    (Some(base), false) => {
                        entry.0 = base.clone();
                        self.store().reset(&name, None).unwrap();
                        self.changed();
                    }
                    _ => assert!(self.store.as_ref().unwrap().reset(&name, None).is_err()),
                }
            }
            Step::Sync => {
                self.store().sync().unwrap();
                self.durable();
            }
            Step::Checkpoint => {
                self.store().checkpoint().unwrap();
                self.durable();
            }
            Step::Reclaim => {
                self.store().reclaim_all().unwrap();
                self.durable();
            }
            Step::Reopen => {
                self.store.take().unwrap().close().unwrap();
                self.durable();
                self.store = Some(Store::open_on(self.lossy.clone(), &options()).unwrap());
                self.verify();
            }
            Step::PowerCut { seed } => self.power_cut(seed),
        }
    }

    /// Loses what was not flushed, but for a random subset; what comes back is a prefix.
    fn power_cut(&mut self, seed: u64) {
        let survivors =
            if seed.is_multiple_of(3) { Survivors::None } else { Survivors::Random(seed) };
        self.lossy.power_cut(survivors).unwrap();
        // What the old store still writes while it is dropped, a dead device refuses.
        drop(self.store.take());
        self.lossy = Arc::new(LossyDevice::over(self.disk.clone(), false).unwrap());
        self.store = Some(Store::open_on(self.lossy.clone(), &options()).unwrap());
        let found = self.read_world();
        let position = self.history.iter().rposition(|world| *world == found);
        assert!(position.is_some(), "the state after a power cut is no prefix of the history");
        self.now = found;
        self.durable();
        self.check();
    }

    fn read_world(&self) -> World {
        let mut world = World::default();
        for info in self.store().branches().unwrap() {
            let branch = self.store().branch(&info.name).unwrap();
            let content = read_model(&branch.read().unwrap());
            let base = branch.fork_point().unwrap().map(|base| read_model(&base));
            world.branches.insert(info.name, (content, base, info.sealed));
        }
        world
    }

    fn verify(&self) {
        let found = self.read_world();
        for (name, expected) in &self.now.branches {
            assert_eq!(Some(expected), found.branches.get(name), "branch {name}");
        }
        assert_eq!(found.branches.len(), self.now.branches.len());
    }

    fn check(&self) {
        let report = self.store().check().unwrap();
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
    }
}

fn read_model(txn: &tine_store::ReadTxn) -> Model {
    let mut model = Model::default();
    for entry in txn.range(Bound::Unbounded, Bound::Unbounded) {
        let (key, value) = entry.unwrap();
        match value {
            Value::Bytes(bytes) => {
                assert_eq!(txn.get(&key).unwrap().as_ref(), Some(&bytes));
                model.entries.insert(key, bytes);
            }
            Value::Extent { blocks, .. } => {
                let map = key[1];
                let first = u64::from_be_bytes(key[2..].try_into().unwrap());
                let mut data = vec![0; blocks as usize * BLOCK_BYTES];
                txn.read_map(&key[..2], first * BLOCK_BYTES as u64, &mut data).unwrap();
                for (i, block) in data.chunks(BLOCK_BYTES).enumerate() {
                    assert!(block.iter().all(|b| *b == block[0]), "a block mixes contents");
                    model.blocks.insert((map, first + i as u64), block[0]);
                }
            }
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_of_branches_equals_plain_maps_and_survives_power_cuts(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in steps {
            run.apply(step);
        }
        run.verify();
        run.check();
        run.store().reclaim_all().unwrap();
        run.verify();
        run.check();
        let reopened = Arc::new(run.disk.clone_contents());
        assert!(reopened.len().unwrap() > 0);
    }
}
