//! Trees whose nodes stand for one another, as a forger would write them: with right checksums,
//! sums and counts. A walk through one would take longer than anyone waits, and has to end at once.

use crate::device::{Device, MemoryDevice};
use crate::error::{Error, Result};
use crate::format::block::BlockAddr;
use crate::format::catalog::{
    DiskRoot, PREFIX_BRANCH, PREFIX_COUNT, decode_branch, encode_branch, encode_count, number_key,
};
use crate::format::ids::Generation;
use crate::format::layout::{BLOCK_BYTES, NODE_BLOCKS, SUPERBLOCK_COPIES, SUPERBLOCK_SLOTS};
use crate::options::Options;
use crate::recover::newest_superblock;
use crate::store::Store;
use crate::tree::{Body, Child, Entries, Link, Node, Nodes, Sums};
use crate::txn::Value;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Levels of inner nodes, and children of each: 60^20 paths.
const LEVELS: u8 = 20;
const WIDTH: usize = 60;

/// What a forged tree is made of.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Each node has one child in all its places.
    levels: u8,
    /// The leaf at the bottom holds this many entries.
    leaf_entries: usize,
    /// Keys of separators and entries begin with it.
    mark: &'static str,
}

/// A disk with a small store, and the place where the next forged node goes.
struct Forge {
    disk: Arc<MemoryDevice>,
    next_block: BlockAddr,
    counts: BTreeMap<BlockAddr, u32>,
}

fn quiet() -> Options {
    Options { background: false, ..Options::default() }
}

impl Forge {
    /// A closed store with these branches.
    fn new(branches: &[&str]) -> Forge {
        let disk = Arc::new(MemoryDevice::new());
        let store = Store::create_on(disk.clone(), &quiet()).unwrap();
        for name in branches {
            let branch = store.create_branch(name).unwrap();
            let mut txn = branch.write().unwrap();
            txn.put(b"key", b"value").unwrap();
            // The forged nodes take the place of this data.
            txn.map(b"~f", 0, branch.stage(&[7; 100 * BLOCK_BYTES]).unwrap()).unwrap();
            txn.commit().unwrap();
        }
        store.checkpoint().unwrap();
        let read = store.branch("main").unwrap().read().unwrap();
        let mut values =
            read.range(Bound::Unbounded, Bound::Unbounded).map(|entry| entry.unwrap().1);
        let data = values.find_map(|value| match value {
            Value::Extent { place, .. } => Some(place),
            Value::Bytes(_) => None,
        });
        drop((values, read));
        store.close().unwrap();
        let next_block = BlockAddr(data.unwrap());
        Forge { disk, next_block, counts: BTreeMap::new() }
    }

    fn write(&mut self, level: u8, body: Body, pointers: u32) -> Child {
        let node = Node::new(Generation(1), level, body);
        let Sums { entries, bytes } = node.sums();
        let (image, ptr) = node.encode(self.next_block).unwrap();
        self.disk.write_at(self.next_block.offset(), &image).unwrap();
        if pointers > 1 {
            self.counts.insert(self.next_block, pointers);
        }
        self.next_block += NODE_BLOCKS;
        Child { link: Link::Disk(ptr), entries, bytes }
    }

    fn leaf(&mut self, shape: Shape, pointers: u32) -> Child {
        let mut entries = Entries::default();
        for i in 0..shape.leaf_entries {
            entries.push(&[], format!("{}{i:03}", shape.mark).as_bytes(), b"\0value");
        }
        self.write(0, Body::Leaf(entries), pointers)
    }

    /// A node that names `child` as each of its children.
    fn doubled(&mut self, child: &Child, level: u8, mark: &str, pointers: u32) -> Child {
        let mut keys = Entries::default();
        (0..WIDTH).for_each(|i| keys.push(&[], format!("{mark}{i:03}").as_bytes(), &[]));
        // So many levels of sums overflow; a reader must not mind.
        let children = (0..WIDTH).map(|_| Child { entries: 1, bytes: 1, ..child.clone() });
        let body = Body::Inner { keys, children: children.collect() };
        self.write(level, body, pointers)
    }

    fn tree(&mut self, shape: Shape, leaf: &Child) -> DiskRoot {
        let mut top = leaf.clone();
        for level in 1..=shape.levels {
            let pointers = if level < shape.levels { WIDTH as u32 } else { 1 };
            top = self.doubled(&top, level, shape.mark, pointers);
        }
        let ptr = top.link.ptr().unwrap();
        DiskRoot { ptr, level: shape.levels, entries: top.entries, bytes: top.bytes }
    }

    /// Makes forged trees the content of branches, and opens the store.
    fn open(self, trees: &[(&str, DiskRoot)]) -> Store {
        let counts = self.counts.clone();
        self.with_records(|records| {
            for (key, value) in records.iter_mut() {
                if key[0] == PREFIX_BRANCH {
                    let (meta, _) = decode_branch(value).unwrap();
                    if let Some((_, root)) = trees.iter().find(|(name, _)| *name == meta.name) {
                        *value = encode_branch(&meta, root);
                    }
                }
            }
            for (block, count) in &counts {
                let key = number_key(PREFIX_COUNT, block.0).to_vec();
                records.insert(key, encode_count(NODE_BLOCKS, *count));
            }
        })
    }

    /// Changes records of the system tree, and opens the store.
    fn with_records(self, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>)) -> Store {
        let mut superblock = newest_superblock(&*self.disk).unwrap();
        let (ptr, level) = superblock.system.unwrap();
        let nodes = Nodes::new(self.disk.clone(), 1 << 20);
        let system = nodes.load(&Link::Disk(ptr), level).unwrap();
        let Body::Leaf(old) = &system.body else { panic!("a small store has a small system tree") };
        let mut records: BTreeMap<Vec<u8>, Vec<u8>> =
            (0..old.len()).map(|i| (old.key(i).to_vec(), old.value(i).to_vec())).collect();
        change(&mut records);
        let mut entries = Entries::default();
        records.iter().for_each(|(key, value)| entries.push(&[], key, value));
        let system = Node::new(system.birth, 0, Body::Leaf(entries));
        let (image, ptr) = system.encode(ptr.addr).unwrap();
        self.disk.write_at(ptr.addr.offset(), &image).unwrap();
        superblock.system = Some((ptr, 0));
        let copies = |slot: BlockAddr| (0..SUPERBLOCK_COPIES).map(move |copy| slot + copy);
        for block in SUPERBLOCK_SLOTS.into_iter().flat_map(copies) {
            self.disk.write_at(block.offset(), &superblock.encode()).unwrap();
        }
        Store::open_on(self.disk, &quiet()).unwrap()
    }
}

/// A store whose branch holds a forged tree of this shape.
fn forged(shape: Shape) -> Store {
    let mut forge = Forge::new(&["main"]);
    let leaf = forge.leaf(shape, WIDTH as u32);
    let root = forge.tree(shape, &leaf);
    forge.open(&[("main", root)])
}

const SHAPES: [Shape; 3] = [
    Shape { levels: LEVELS, leaf_entries: 20, mark: "" },
    Shape { levels: 2, leaf_entries: 1, mark: "k" },
    Shape { levels: LEVELS, leaf_entries: 0, mark: "" },
];

/// Fails if what must end at once does not.
fn at_once<T>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T
where
    T: Send + 'static,
{
    let (done, ended) = std::sync::mpsc::channel();
    let begun = Instant::now();
    std::thread::spawn(move || done.send(work()));
    let result = ended.recv_timeout(Duration::from_secs(10));
    let result = result.unwrap_or_else(|_| panic!("{what} does not end"));
    assert!(begun.elapsed() < Duration::from_secs(1), "{what} takes too long");
    result
}

fn is_damage<T>(what: &str, result: Result<T>) {
    match result {
        Err(Error::Damaged { .. }) => {}
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what} finds nothing wrong"),
    }
}

#[test]
fn reading_a_tree_whose_nodes_stand_for_one_another_ends_with_an_error() {
    for shape in SHAPES {
        let store = forged(shape);
        let read = store.branch("main").unwrap().read().unwrap();
        let entries = read.range(Bound::Unbounded, Bound::Unbounded);
        is_damage("a scan", at_once("a scan", move || entries.collect::<Result<Vec<_>>>()));
        let _ = at_once("a scan from the end", move || {
            read.table("none").unwrap().iter().rev().collect::<Result<Vec<_>>>()
        });
    }
}

#[test]
fn a_check_finds_nodes_that_stand_for_one_another() {
    for shape in SHAPES {
        let store = forged(shape);
        let report = at_once("a check", move || store.check()).unwrap();
        let found = report.findings.iter().any(|finding| finding.what.contains("stands where"));
        assert!(found, "{shape:?}: {:?}", report.findings);
    }
}

#[test]
fn a_check_finds_a_node_that_stands_twice_where_its_separators_do_not_tell() {
    let shape = Shape { levels: 0, leaf_entries: 3, mark: "k" };
    let mut forge = Forge::new(&["main"]);
    let leaf = forge.leaf(shape, 1);
    let mut keys = Entries::default();
    keys.push(&[], b"", &[]);
    let single = forge.write(1, Body::Inner { keys, children: vec![leaf] }, 2);
    let mut keys = Entries::default();
    ["", "m"].iter().for_each(|key| keys.push(&[], key.as_bytes(), &[]));
    let body = Body::Inner { keys, children: vec![single.clone(), single] };
    let top = forge.write(2, body, 1);
    let ptr = top.link.ptr().unwrap();
    let root = DiskRoot { ptr, level: 2, entries: top.entries, bytes: top.bytes };
    let report = forge.open(&[("main", root)]).check().unwrap();
    let found = report.findings.iter().filter(|finding| finding.what.contains("stands where"));
    assert_eq!(found.count(), 1, "{:?}", report.findings);
}

#[test]
fn the_difference_of_trees_whose_nodes_stand_for_one_another_ends_with_an_error() {
    for shared_leaf in [false, true] {
        let mut forge = Forge::new(&["main", "trial"]);
        let shape = Shape { levels: LEVELS, leaf_entries: 1, mark: "k" };
        let (first, second) = (forge.leaf(shape, 1000), forge.leaf(shape, 1000));
        let before = forge.tree(shape, &first);
        let after = forge.tree(shape, if shared_leaf { &first } else { &second });
        let store = forge.open(&[("main", before), ("trial", after)]);
        let read = |name: &str| store.branch(name).unwrap().read().unwrap();
        let diff = crate::diff(&read("main"), &read("trial")).unwrap();
        is_damage("a diff", at_once("a diff", move || diff.collect::<Result<Vec<_>>>()));
    }
}

#[test]
fn usage_and_deletion_of_a_tree_whose_nodes_stand_for_one_another_end() {
    for shape in SHAPES {
        // No count is recorded: all of it seems to be the branch's own.
        let mut forge = Forge::new(&["main"]);
        let leaf = forge.leaf(shape, 1);
        let root = forge.tree(shape, &leaf);
        forge.counts.clear();
        let store = forge.open(&[("main", root)]);
        let branch = store.branch("main").unwrap();
        is_damage("usage", at_once("usage", move || branch.usage()));
        store.delete("main").unwrap();
        let steps = at_once("reclaiming", move || {
            // A step that meets damage leaves it behind.
            (0..).find(|_| matches!(store.reclaim_some(1), Ok(false)))
        });
        assert!(steps.unwrap() <= (usize::from(shape.levels) + 1) * WIDTH + 1);
    }
}

#[test]
fn names_and_branches_that_do_not_belong_together_are_found() {
    type Records = BTreeMap<Vec<u8>, Vec<u8>>;
    let main = |records: &Records| {
        let found = records.iter().find(|(key, value)| {
            key[0] == PREFIX_BRANCH && decode_branch(value).unwrap().0.name == "main"
        });
        found.map(|(key, value)| (key.clone(), value.clone())).unwrap()
    };
    let renamed = |records: &mut Records, name: &str| {
        let (key, value) = main(records);
        let (mut meta, root) = decode_branch(&value).unwrap();
        meta.name = name.to_owned();
        records.insert(key, encode_branch(&meta, &root));
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Records));
    let cases: [Case<'_>; 9] = [
        ("as it was", &|_| {}),
        ("no name", &|records| drop(records.remove(&b"nmain"[..]))),
        ("another name", &|records| {
            let value = records.remove(&b"nmain"[..]).unwrap();
            records.insert(b"nmaim".to_vec(), value);
        }),
        ("another branch's number", &|records| {
            let other = records[&b"ntrial"[..]].clone();
            records.insert(b"nmain".to_vec(), other);
        }),
        ("a number of no branch", &|records| {
            records.insert(b"nmain".to_vec(), 99_u64.to_be_bytes().to_vec());
        }),
        ("half a number", &|records| drop(records.insert(b"nmain".to_vec(), vec![0; 4]))),
        ("an impossible name", &|records| renamed(records, "ma)n")),
        ("a record of no kind", &|records| {
            let (key, value) = main(records);
            records.remove(&key);
            records.insert([b"c", &key[1..]].concat(), value);
        }),
        ("a number of the future", &|records| {
            let (key, value) = main(records);
            records.remove(&key);
            records.insert(number_key(PREFIX_BRANCH, 1 << 40).to_vec(), value);
            records.insert(b"nmain".to_vec(), (1_u64 << 40).to_be_bytes().to_vec());
        }),
    ];
    for (what, change) in cases {
        let store = Forge::new(&["main", "trial"]).with_records(change);
        let report = store.check().unwrap();
        let about_names = report.findings.iter().any(|it| it.severity >= crate::Severity::Error);
        assert_eq!(about_names, what != "as it was", "{what}: {report:?}");
    }
}
