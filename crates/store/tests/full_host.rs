//! A host that others fill at any moment: what was accepted stays, what gives space back is never
//! refused, checkpoints and recovery find their room, and what is reported as free can be had.

mod oracle;

use oracle::{Content, Dice, assert_sound, block_key, numbered, quiet, read_branches};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tine_store::{
    BLOCK_BYTES, Branch, Device, Error, MemoryDevice, Result, Staged, Store, WriteTxn,
};

const MIB: u64 = 1 << 20;
const HOST_BYTES: u64 = 40 * MIB;
const BRANCHES_MAX: usize = 5;

/// A store on a small host, and what it has to hold.
struct Life {
    disk: Arc<MemoryDevice>,
    store: Option<Store>,
    held: Vec<Staged>,
    model: BTreeMap<String, Content>,
    dice: Dice,
    next: u64,
    refused: u64,
    log: Vec<String>,
}

impl Life {
    fn new(seed: u64) -> Life {
        let disk = Arc::new(MemoryDevice::with_capacity(HOST_BYTES));
        let store = Store::create_on(disk.clone(), &quiet()).unwrap();
        store.create_branch("main").unwrap();
        let model = BTreeMap::from([("main".to_owned(), Content::new())]);
        let (held, log) = (Vec::new(), Vec::new());
        Life { disk, store: Some(store), held, model, dice: Dice(seed), next: 1, refused: 0, log }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn pick(&mut self) -> (String, Branch) {
        let names: Vec<&String> = self.model.keys().collect();
        let name = names[self.dice.roll(names.len() as u64) as usize].clone();
        let branch = self.store().branch(&name).unwrap();
        (name, branch)
    }

    /// Whether it was accepted; only want of room is an excuse.
    fn may_be_refused(&mut self, what: &str, result: Result<()>) -> bool {
        match result {
            Ok(()) => true,
            Err(Error::NoSpace { .. }) => {
                self.refused += 1;
                false
            }
            Err(error) => panic!("{what}: {error}; after {:?}", self.log),
        }
    }

    fn must(&self, what: &str, result: Result<()>) {
        result.unwrap_or_else(|error| panic!("{what}: {error}; after {:?}", self.log));
    }

    fn write_data(&mut self, blocks: u64, at: u64) {
        let (name, branch) = self.pick();
        let first = self.next;
        self.next += blocks;
        let write = || {
            let staged = branch.stage(&numbered(first, blocks))?;
            let mut txn = branch.write()?;
            txn.map(b"f", at, staged)?;
            txn.commit()
        };
        if self.may_be_refused("writing data", write()) {
            let content = self.model.get_mut(&name).unwrap();
            for block in 0..blocks {
                content.insert(block_key(b"f", at + block), (first + block).to_le_bytes().to_vec());
            }
        }
    }

    fn put(&mut self, keys: u64) {
        let (name, branch) = self.pick();
        let (first, value) = (self.dice.roll(4000), vec![self.next as u8; 900]);
        self.next += 1;
        let key = |n: u64| ((first + n).wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_be_bytes();
        let write = || {
            let mut txn = branch.write()?;
            (0..keys).try_for_each(|n| txn.put(&key(n), &value))?;
            txn.commit()
        };
        if self.may_be_refused("putting values", write()) {
            let content = self.model.get_mut(&name).unwrap();
            (0..keys).for_each(|n| drop(content.insert(key(n).to_vec(), value.clone())));
        }
    }

    /// A change that gives back, and writes a little too, as the removal of a name does in its
    /// directory.
    fn give_back(
        &mut self,
        what: &str,
        name: &str,
        change: impl Fn(&mut WriteTxn<'_>) -> Result<()>,
    ) {
        let branch = self.store().branch(name).unwrap();
        let stamp = self.next.to_be_bytes();
        self.next += 1;
        let give_back = || {
            let mut txn = branch.write()?;
            txn.gives_back();
            change(&mut txn)?;
            txn.put(b"stamp", &stamp)?;
            txn.commit()
        };
        self.must(what, give_back());
        self.model.get_mut(name).unwrap().insert(b"stamp".to_vec(), stamp.to_vec());
    }

    /// Deletes some of a branch's keys one by one, in any order.
    fn delete_values(&mut self) {
        let (name, _) = self.pick();
        let content = &self.model[&name];
        let mut keys: Vec<Vec<u8>> = content.keys().filter(|key| key.len() == 8).cloned().collect();
        let count = self.dice.roll(keys.len() as u64 + 1).min(300);
        for _ in 0..count {
            let key = keys.swap_remove(self.dice.roll(keys.len() as u64) as usize);
            self.give_back("deleting", &name, |txn| txn.delete(&key));
            self.model.get_mut(&name).unwrap().remove(&key);
        }
    }

    fn unmap(&mut self) {
        let (name, _) = self.pick();
        let (first, blocks) = (self.dice.roll(5000), 1 + self.dice.roll(2000));
        self.give_back("unmapping", &name, |txn| txn.unmap(b"f", first..first + blocks));
        let range = block_key(b"f", first)..block_key(b"f", first + blocks);
        self.model.get_mut(&name).unwrap().retain(|key, _| !range.contains(key));
    }

    fn fork(&mut self) {
        if self.model.len() >= BRANCHES_MAX {
            return self.delete_branch();
        }
        let (name, _) = self.pick();
        let new = format!("b{}", self.next);
        self.next += 1;
        let forked = self.store().fork(&name, &new).map(drop);
        if self.may_be_refused("forking", forked) {
            let content = self.model[&name].clone();
            self.model.insert(new, content);
        }
    }

    fn delete_branch(&mut self) {
        if self.model.len() > 1 {
            let (name, branch) = self.pick();
            drop(branch);
            self.must("deleting a branch", self.store().delete(&name));
            self.model.remove(&name);
        }
    }

    /// Another program takes all that the host has but a little, or gives it back.
    fn change_host(&mut self) {
        let capacity = match self.dice.roll(3) {
            0 => HOST_BYTES.max(self.disk.allocated_bytes().unwrap()),
            _ => self.disk.allocated_bytes().unwrap() + self.dice.roll(3) * self.dice.roll(MIB),
        };
        self.disk.set_capacity(Some(capacity));
    }

    /// Closes the store, or loses it as in a crash, and opens what is on the disk.
    fn open_again(&mut self) {
        self.held.clear();
        let store = self.store.take().unwrap();
        if self.dice.roll(2) == 0 {
            self.must("closing", store.close());
        } else {
            self.must("flushing", store.sync());
            self.disk = Arc::new(self.disk.clone_contents());
            drop(store);
        }
        let opened = Store::open_on(self.disk.clone(), &quiet());
        self.store = Some(opened.unwrap_or_else(|e| panic!("opening: {e}; after {:?}", self.log)));
    }

    /// Fills what is reported as free, and frees it again.
    fn fill(&mut self) {
        self.held.clear();
        let told = self.store().space().unwrap().available_bytes;
        let (name, branch) = self.pick();
        let mut written = 0;
        while written < told {
            let blocks = ((told - written).div_ceil(BLOCK_BYTES as u64)).min(64);
            let write = || {
                let staged = branch.stage(&numbered(1, blocks))?;
                let mut txn = branch.write()?;
                txn.map(b"fill", written / BLOCK_BYTES as u64, staged)?;
                txn.commit()
            };
            let what = format!("filling {told} bytes after {written}");
            self.must(&what, write());
            written += blocks * BLOCK_BYTES as u64;
        }
        self.give_back("emptying", &name, |txn| txn.unmap(b"fill", 0..u64::MAX));
    }

    fn step(&mut self) {
        let what = self.dice.roll(100);
        self.log.push(format!("{what}"));
        match what {
            0..15 => {
                let (blocks, at) = (1 + self.dice.roll(256), self.dice.roll(5000));
                self.write_data(blocks, at);
            }
            // Single blocks all over: what is free afterwards lies in pieces.
            15..30 => {
                for _ in 0..self.dice.roll(80) {
                    let at = self.dice.roll(5000);
                    self.write_data(1, at);
                }
            }
            30..42 => {
                let keys = 1 + self.dice.roll(200);
                self.put(keys);
            }
            42..54 => self.delete_values(),
            54..62 => self.unmap(),
            62..69 => self.fork(),
            69..74 => self.delete_branch(),
            74..84 => self.change_host(),
            84..88 => {
                let (_, branch) = self.pick();
                if let Ok(staged) = branch.stage(&numbered(1, 1 + self.dice.roll(100))) {
                    self.held.push(staged);
                }
                if self.held.len() > 3 {
                    self.held.remove(0);
                }
            }
            88..93 => self.must("a checkpoint", self.store().checkpoint()),
            93..96 => drop(self.store().reclaim_some(50).unwrap()),
            96..98 => self.open_again(),
            _ => self.fill(),
        }
    }
}

#[test]
fn on_a_host_that_others_fill_at_any_moment_whatever_gives_space_back_is_done() {
    let mut refused = 0;
    for seed in 0..8 {
        let mut life = Life::new(seed);
        for _ in 0..150 {
            life.step();
        }
        life.held.clear();
        life.must("a checkpoint", life.store().checkpoint());
        assert_eq!(read_branches(life.store()).unwrap(), life.model, "seed {seed}");
        assert_sound(life.store());
        refused += life.refused;
        // All of it can go, and then the host has it back.
        life.disk.set_capacity(Some(life.disk.allocated_bytes().unwrap()));
        let names: Vec<String> = life.model.keys().cloned().collect();
        for name in names {
            life.must("deleting a branch", life.store().delete(&name));
        }
        life.must("reclaiming", life.store().reclaim_all());
        assert_sound(life.store());
        let left = life.store().usage().unwrap().data_bytes;
        assert!(left < MIB / 4, "seed {seed}: {left} bytes are in use by no branch");
    }
    assert!(refused > 100, "the host was hardly ever full: {refused}");
}

#[test]
fn what_is_kept_while_there_is_room_gives_way_oldest_first_before_a_writer_finds_none() {
    const HOST_BYTES: u64 = 64 * MIB;
    let disk = Arc::new(MemoryDevice::with_capacity(HOST_BYTES));
    let store = Store::create_on(disk, &quiet()).unwrap();
    let kept = Arc::new(Mutex::new(VecDeque::new()));
    store.on_shortage({
        let kept = kept.clone();
        move |store, _| {
            let oldest: Option<String> = kept.lock().unwrap().pop_front();
            oldest.is_some_and(|oldest| store.delete(&oldest).is_ok())
        }
    });
    let write = |branch: &Branch, mib: u64| -> tine_store::Result<()> {
        for piece in 0..mib {
            let staged = branch.stage(&numbered(piece, MIB / BLOCK_BYTES as u64))?;
            let mut txn = branch.write()?;
            txn.map(b"file", piece * MIB / BLOCK_BYTES as u64, staged)?;
            txn.commit()?;
        }
        Ok(())
    };
    let branches = ["a", "b"].map(|name| store.create_branch(name).unwrap());
    // Two writers at once, each replacing all that it has after a copy of it is kept.
    std::thread::scope(|scope| {
        for branch in &branches {
            let (store, kept) = (&store, &kept);
            scope.spawn(move || {
                for round in 0..40 {
                    let name = format!("{}-{round}", branch.name());
                    store.snapshot(&branch.name(), &name).unwrap();
                    kept.lock().unwrap().push_back(name);
                    write(branch, 3).unwrap_or_else(|why| panic!("round {round}: {why}"));
                }
            });
        }
    });
    let left = kept.lock().unwrap().len();
    assert!((2..40).contains(&left), "{left} of 80 are left");
    // What only data is in the way of is refused once nothing is kept any more.
    let error = write(&store.create_branch("c").unwrap(), 100).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert_eq!(kept.lock().unwrap().len(), 0);
    assert_sound(&store);
}
