//! Every sequence of up to three operations on two names, with the power cut at every change of the
//! device: the tree that comes back is one that was there, at the last `fsync` or later, in all
//! branches at once.

mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;
use tine_fs::{Fs, NewRoot, ROOT, RenameMode, SetAttr};
use tine_store::{MemoryDevice, Options, SimulatedDevice, Store};
use tree::{ME, bytes, names};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Create(&'static str),
    /// Bytes that fit a block, or that take several.
    Write(&'static str, usize),
    Truncate(&'static str, u64),
    Rename(&'static str, &'static str),
    Exchange,
    Link(&'static str, &'static str),
    Unlink(&'static str),
    Fsync,
    Fork,
}

const OPS: [Op; 14] = [
    Op::Create("a"),
    Op::Create("b"),
    Op::Write("a", 100),
    Op::Write("a", 9000),
    Op::Write("b", 40_000),
    Op::Truncate("a", 5000),
    Op::Truncate("b", 0),
    Op::Rename("a", "b"),
    Op::Rename("b", "a"),
    Op::Exchange,
    Op::Link("a", "b"),
    Op::Unlink("a"),
    Op::Fsync,
    Op::Fork,
];

/// What a branch holds: names of files, and the files' bytes. Two names of one number are one file.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    names: BTreeMap<String, usize>,
    files: BTreeMap<usize, Vec<u8>>,
}

/// Branches by name.
type World = BTreeMap<String, Model>;

impl Model {
    fn file(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        self.files.get_mut(self.names.get(name)?)
    }

    /// Files numbered by their first name; those without names gone.
    fn settled(&self) -> Model {
        let mut settled = Model::default();
        let mut numbers = BTreeMap::new();
        for (name, file) in &self.names {
            let next = numbers.len();
            let number = *numbers.entry(*file).or_insert(next);
            settled.names.insert(name.clone(), number);
            settled.files.insert(number, self.files[file].clone());
        }
        settled
    }

    /// Does the operation if it is possible. Returns `true` if it was.
    fn apply(&mut self, op: Op) -> bool {
        let there = |name: &str| self.names.contains_key(name);
        match op {
            Op::Create(name) if !there(name) => {
                let number = self.files.len() + 100;
                self.names.insert(name.into(), number);
                self.files.insert(number, Vec::new());
            }
            Op::Write(name, len) if there(name) => {
                let file = self.file(name).expect("the name is there");
                file.resize(file.len().max(len), 0);
                file[..len].fill(len as u8);
            }
            Op::Truncate(name, len) if there(name) => {
                self.file(name).expect("the name is there").resize(len as usize, 0);
            }
            Op::Rename(from, to) if there(from) => {
                let file = self.names[from];
                // Two names of one file stay as they are.
                if self.names.get(to) != Some(&file) {
                    self.names.remove(from);
                    self.names.insert(to.into(), file);
                }
            }
            Op::Exchange if there("a") && there("b") => {
                let (a, b) = (self.names["a"], self.names["b"]);
                self.names.extend([("a".to_string(), b), ("b".to_string(), a)]);
            }
            Op::Link(from, to) if there(from) && !there(to) => {
                self.names.insert(to.into(), self.names[from]);
            }
            Op::Unlink(name) if there(name) => drop(self.names.remove(name)),
            _ => return false,
        }
        true
    }
}

fn perform(fs: &Fs, op: Op) -> tine_fs::Result<()> {
    let ino = |name: &str| fs.lookup(ROOT, name.as_bytes()).map(|attr| attr.ino);
    match op {
        Op::Create(name) => fs.create(&ME, ROOT, name.as_bytes(), 0o644).map(drop),
        Op::Write(name, len) => fs.write(ino(name)?, 0, &vec![len as u8; len], false).map(drop),
        Op::Truncate(name, len) => {
            let size = SetAttr { size: Some(len), ..SetAttr::default() };
            fs.setattr(ino(name)?, &size).map(drop)
        }
        Op::Rename(from, to) => {
            let (from, to) = (from.as_bytes(), to.as_bytes());
            fs.rename(ROOT, from, ROOT, to, RenameMode::Replace)
        }
        Op::Exchange => fs.rename(ROOT, b"a", ROOT, b"b", RenameMode::Exchange),
        Op::Link(from, to) => fs.link(ino(from)?, ROOT, to.as_bytes()).map(drop),
        Op::Unlink(name) => fs.unlink(ROOT, name.as_bytes()),
        Op::Fsync => fs.fsync(ROOT),
        Op::Fork => unreachable!("a fork is made by the store"),
    }
}

fn quiet() -> Options {
    let mut options = Options::default();
    options.background = false;
    options.cache_bytes = 1 << 16;
    options
}

/// A durable tree, empty or with a file in it; and what it holds.
fn start(with_file: bool) -> (MemoryDevice, World) {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let branch = store.create_branch("main").unwrap();
    Fs::format(&branch, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
    let fs = Fs::open(&store, branch).unwrap();
    let mut model = Model::default();
    if with_file {
        for op in [Op::Create("a"), Op::Write("a", 20_000)] {
            perform(&fs, op).unwrap();
            assert!(model.apply(op));
        }
    }
    fs.sync().unwrap();
    store.checkpoint().unwrap();
    drop(fs);
    store.close().unwrap();
    (disk.clone_contents(), World::from([("main".to_string(), model.settled())]))
}

fn read_world(store: &Store) -> World {
    let infos = store.branches().unwrap();
    let read = |name: &str| {
        let fs = Fs::open(store, store.branch(name).unwrap()).unwrap();
        let mut model = Model::default();
        for name in names(&fs, ROOT) {
            let ino = fs.lookup(ROOT, name.as_bytes()).unwrap().ino;
            model.names.insert(name, ino.get() as usize);
            model.files.insert(ino.get() as usize, bytes(&fs, ino));
        }
        model.settled()
    };
    infos.iter().map(|info| (info.name.clone(), read(&info.name))).collect()
}

/// Does the operations, makes all durable, and cuts at every change of the device. Returns how many
/// cuts there were.
fn judge(disk: &MemoryDevice, first: &World, ops: &[Op]) -> u64 {
    let device = Arc::new(SimulatedDevice::over(disk));
    let store = Store::open_on(device.clone(), &quiet()).unwrap();
    let fs = Fs::open(&store, store.branch("main").unwrap()).unwrap();
    let mut model = first["main"].clone();
    let mut issued = vec![(0, first.clone())];
    let mut durable = vec![(0, 0)];
    // The last state that a change of this branch led to: a fork is made durable by an fsync in it.
    let mut written = 0;
    for op in ops {
        let mut world = issued.last().unwrap().1.clone();
        let began = device.changes();
        match op {
            Op::Fsync => {
                fs.fsync(ROOT).unwrap();
                durable.push((device.changes(), written));
            }
            Op::Fork => {
                let name = format!("fork{}", world.len());
                world.insert(name.clone(), model.settled());
                issued.push((began, world));
                store.fork("main", &name).unwrap();
            }
            op => {
                let possible = model.apply(*op);
                if world.insert("main".into(), model.settled()) != Some(model.settled()) {
                    written = issued.len();
                }
                issued.push((began, world));
                assert_eq!(perform(&fs, *op).is_ok(), possible, "{ops:?}: {op:?}");
            }
        }
    }
    store.sync().unwrap();
    durable.push((device.changes(), issued.len() - 1));
    assert_eq!(read_world(&store), issued.last().unwrap().1, "{ops:?}");
    let tape = device.tape();
    let mut replay = tape.replay();
    for at in 0..=tape.changes() {
        replay.advance_to(at, 0);
        let store =
            Store::open_on(Arc::new(replay.cut_power(at as u64 * 7 + 1)), &quiet()).unwrap();
        let found = read_world(&store);
        let known = durable.iter().filter(|(since, _)| *since <= at);
        let least = known.map(|(_, state)| *state).max().unwrap();
        let mut allowed = issued[least..].iter().take_while(|(began, _)| *began <= at);
        assert!(allowed.any(|(_, world)| *world == found), "{ops:?}, cut {at}: {found:?}");
        for info in store.branches().unwrap() {
            let read = store.branch(&info.name).unwrap().read().unwrap();
            assert_eq!(tine_fs::check(&read).unwrap(), [], "{ops:?}, cut {at}");
        }
        assert_eq!(store.check().unwrap().findings, [], "{ops:?}, cut {at}");
    }
    tape.changes() as u64 + 1
}

#[test]
fn after_any_three_operations_and_a_cut_the_tree_is_one_that_was_there_since_the_last_fsync() {
    let mut cuts = 0;
    for with_file in [false, true] {
        let (disk, world) = start(with_file);
        for one in OPS {
            cuts += judge(&disk, &world, &[one]);
            for two in OPS {
                cuts += judge(&disk, &world, &[one, two]);
                for three in OPS {
                    cuts += judge(&disk, &world, &[one, two, three]);
                }
            }
        }
    }
    assert!(cuts > 15_000, "only {cuts} cuts were judged");
    println!("{cuts} cuts");
}
