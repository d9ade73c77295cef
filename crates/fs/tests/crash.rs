//! After a power cut the tree is one that was there: at the last `fsync` or later, whole, and with
//! nothing left behind.

mod model_tree;
mod tree;

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use model_tree::Model;
use model_tree::ops::{Op, apply, compare, op};
use proptest::prelude::*;
use tine_fs::{Fs, NewRoot, ROOT};
use tine_store::{Device, MemoryDevice, Options, Store};

/// A disk that remembers what was written before the last flush, and nothing else for certain.
#[derive(Debug)]
struct Disk {
    now: MemoryDevice,
    flushed: Mutex<MemoryDevice>,
}

impl Disk {
    fn new() -> Disk {
        Disk { now: MemoryDevice::new(), flushed: Mutex::new(MemoryDevice::new()) }
    }

    /// What is there after the power was cut.
    fn after_power_cut(&self) -> MemoryDevice {
        self.flushed.lock().unwrap().clone_contents()
    }

    /// What is there after the process was killed.
    fn after_kill(&self) -> MemoryDevice {
        self.now.clone_contents()
    }
}

impl Device for Disk {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.now.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.now.write_at(offset, buf)
    }
    fn sync(&self) -> io::Result<()> {
        *self.flushed.lock().unwrap() = self.now.clone_contents();
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        self.now.len()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.now.set_len(bytes)
    }
    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.now.allocate(range)
    }
    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        self.now.punch(range)
    }
    fn allocated_bytes(&self) -> io::Result<u64> {
        self.now.allocated_bytes()
    }
    fn host_free_bytes(&self) -> io::Result<u64> {
        self.now.host_free_bytes()
    }
}

/// Nothing is flushed unless the test says so.
fn options() -> Options {
    let mut options = Options::default();
    options.background = false;
    options
}

fn fresh(disk: &Arc<Disk>) -> (Store, Fs) {
    let store = Store::create_on(disk.clone(), &options()).unwrap();
    let branch = store.create_branch("main").unwrap();
    Fs::format(&branch, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
    let fs = Fs::open(&store, branch).unwrap();
    fs.sync().unwrap();
    (store, fs)
}

fn recovered(disk: MemoryDevice) -> (Store, Fs) {
    let store = Store::open_on(Arc::new(disk), &options()).unwrap();
    let fs = Fs::open(&store, store.branch("main").unwrap()).unwrap();
    (store, fs)
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_made_durable_is_there_after_a_crash(
        ops in prop::collection::vec((op(), prop::bool::weighted(0.15)), 1..60),
        kill in any::<bool>(),
    ) {
        let disk = Arc::new(Disk::new());
        let (_store, fs) = fresh(&disk);
        let mut states = vec![Model::new()];
        let mut durable = 0;
        for (op, sync) in &ops {
            let mut model = states[states.len() - 1].clone();
            if !matches!(op, Op::Fork | Op::Reopen) {
                apply(&fs, &mut model, op)?;
                states.push(model);
            }
            if *sync {
                fs.fsync(ROOT).unwrap();
                durable = states.len() - 1;
            }
        }
        let (store, fs) = recovered(if kill { disk.after_kill() } else { disk.after_power_cut() });
        let mut answers = Vec::new();
        for mut state in states.drain(durable..) {
            state.crash();
            answers.push(compare(&fs, &state));
        }
        prop_assert!(answers.iter().any(Result::is_ok), "no state since the fsync: {:?}", answers);
        let report = store.check().unwrap();
        prop_assert!(report.findings.is_empty(), "{:?}", report.findings);
    }
}
