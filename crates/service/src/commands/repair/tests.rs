use std::collections::BTreeMap;
use std::sync::Arc;

use tine_fs::{Caller, Fs, Ino, Kind, NewRoot, ROOT, XattrMode};
use tine_store::{BLOCK_BYTES, Device, MemoryDevice, Options, Store};

use super::*;

const ME: Caller = Caller { uid: 7, gid: 8, umask: 0 };
const BLOCK: u64 = BLOCK_BYTES as u64;

fn quiet() -> Options {
    let mut options = Options::default();
    options.background = false;
    options
}

/// Numbers that follow from the first one.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A tree with some of everything, forked and snapshotted, with commits behind the last checkpoint.
fn store() -> MemoryDevice {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    Fs::format(&main, &NewRoot { mode: 0o755, uid: 7, gid: 8 }).unwrap();
    let fs = Fs::open(&store, main).unwrap();
    let mut directories = vec![ROOT];
    for number in 0..12u64 {
        let parent = directories[number as usize / 3];
        let name = format!("directory {number}");
        directories.push(fs.mkdir(&ME, parent, name.as_bytes(), 0o750).unwrap().ino);
    }
    for number in 0..90u64 {
        let parent = directories[number as usize % directories.len()];
        let name = format!("file {number}");
        let ino = fs.create(&ME, parent, name.as_bytes(), 0o640).unwrap().ino;
        fs.write(
            ino,
            (number % 5) * 5000,
            &vec![number as u8 + 1; 3000 * (number as usize % 4)],
            false,
        )
        .unwrap();
        if number % 7 == 0 {
            fs.setxattr(ino, b"user.long", &[number as u8; 4500], XattrMode::Any).unwrap();
            fs.link(ino, directories[3], format!("link {number}").as_bytes()).unwrap();
        }
        if number % 9 == 0 {
            let target = vec![b'a' + (number % 20) as u8; 1 + number as usize * 40];
            fs.symlink(&ME, parent, format!("symlink {number}").as_bytes(), &target).unwrap();
            fs.mknod(&ME, parent, format!("pipe {number}").as_bytes(), 0o010_600, 0).unwrap();
        }
    }
    store.snapshot("main", "then").unwrap();
    let fork = Fs::open(&store, store.fork("main", "fork").unwrap()).unwrap();
    fork.unlink(ROOT, b"file 13").unwrap();
    fork.write(fork.resolve(b"file 0").unwrap().ino, 100, b"changed", false).unwrap();
    store.checkpoint().unwrap();
    // In use without a name, and so in the store when it is read after a crash.
    fs.tmpfile(&ME, ROOT, 0o600).unwrap();
    fs.create(&ME, directories[5], b"late", 0o600).unwrap();
    fs.sync().unwrap();
    let copy = disk.clone_contents();
    drop((fs, fork));
    copy
}

/// Everything in a tree that is read by path: kind, size and content.
fn content(store: &Store, name: &str) -> BTreeMap<Vec<u8>, (Kind, Vec<u8>)> {
    let fork = store.fork(name, "look").unwrap();
    let mut found = BTreeMap::new();
    let fs = match Fs::open(store, fork) {
        // All of it is lost.
        Err(tine_fs::Error::NotFormatted { .. }) => {
            store.delete("look").unwrap();
            return found;
        }
        fs => fs.unwrap(),
    };
    let mut left: Vec<(Ino, Vec<u8>)> = vec![(ROOT, Vec::new())];
    while let Some((ino, path)) = left.pop() {
        fs.readdir_plus(ino, 0, &mut |entry, attr| {
            if entry.name == b"." || entry.name == b".." {
                return true;
            }
            let path = [&path[..], b"/", entry.name].concat();
            let mut bytes = vec![0; if attr.kind == Kind::File { attr.size as usize } else { 0 }];
            match attr.kind {
                Kind::File => drop(fs.read(attr.ino, 0, &mut bytes).unwrap()),
                Kind::Symlink => bytes = fs.readlink(attr.ino).unwrap(),
                Kind::Directory => left.push((attr.ino, path.clone())),
                _ => {}
            }
            for name in fs.listxattr(attr.ino).unwrap() {
                fs.getxattr(attr.ino, &name).unwrap();
            }
            found.insert(path, (attr.kind, bytes));
            true
        })
        .unwrap();
    }
    drop(fs);
    store.delete("look").unwrap();
    found
}

/// Repairs what a device holds, as the command does; the new store and what was lost.
fn repaired(disk: MemoryDevice) -> Option<(Store, Vec<tine_store::Finding>)> {
    let target = Store::create_on(Arc::new(MemoryDevice::new()), &quiet()).unwrap();
    let copied = match Repair::onto(Arc::new(disk), &target) {
        // Not one superblock is left.
        Err(tine_store::Error::Damaged { .. } | tine_store::Error::NotAStore { .. }) => {
            return None;
        }
        copied => copied.unwrap(),
    };
    let lost = mend(&copied).unwrap();
    copied.finish().unwrap();
    Some((target, lost))
}

/// The store and every tree in it are sound.
fn assert_sound(store: &Store, how: &str) {
    assert_eq!(store.check().unwrap().findings, [], "{how}");
    for info in store.branches().unwrap() {
        let tree = store.branch(&info.name).unwrap().read().unwrap();
        assert_eq!(tine_fs::check(&tree).unwrap(), [], "{how}, branch {}", info.name);
    }
}

#[test]
fn a_whole_store_comes_out_as_it_was() {
    let disk = store();
    let before = Store::open_on(Arc::new(disk.clone_contents()), &quiet()).unwrap();
    let (after, lost) = repaired(disk).unwrap();
    assert_eq!(lost, []);
    assert_sound(&after, "whole");
    for name in ["main", "fork", "then"] {
        assert!(content(&before, name) == content(&after, name), "{name}");
        assert_eq!(after.branch(name).unwrap().sealed(), name == "then", "{name}");
    }
}

#[test]
fn however_a_store_is_damaged_the_repaired_one_is_sound_and_holds_nothing_wrong() {
    let disk = store();
    let whole = Store::open_on(Arc::new(disk.clone_contents()), &quiet()).unwrap();
    let originals = ["main", "fork", "then"].map(|name| (name, content(&whole, name)));
    let mut block = vec![0; BLOCK_BYTES];
    let full: Vec<u64> = (0..disk.len().unwrap() / BLOCK)
        .filter(|number| {
            disk.read_at(number * BLOCK, &mut block).unwrap();
            block.iter().any(|byte| *byte != 0)
        })
        .collect();
    let mut dice = Dice(11);
    let (mut damaging, mut by_path) = (0, 0);
    for case in 0..200 {
        let damaged = disk.clone_contents();
        let mut how = format!("case {case}:");
        for _ in 0..1 + dice.below(3) {
            let number = full[dice.below(full.len() as u64) as usize];
            damaged.read_at(number * BLOCK, &mut block).unwrap();
            match dice.below(4) {
                0 => block.fill(0),
                1 => block.iter_mut().for_each(|byte| *byte ^= 0x55),
                _ => (0..1 + dice.below(8)).for_each(|_| {
                    block[dice.below(BLOCK) as usize] ^= 1 << dice.below(8);
                }),
            }
            damaged.write_at(number * BLOCK, &block).unwrap();
            how = format!("{how} {number}");
        }
        let Some((store, lost)) = repaired(damaged) else { continue };
        assert_sound(&store, &how);
        damaging += u32::from(!lost.is_empty());
        by_path += u32::from(lost.iter().any(|lost| lost.place.contains("file ")));
        for (name, original) in &originals {
            if store.branch(name).is_err() {
                assert!(!lost.is_empty(), "{how}: branch {name} is lost without a word");
                continue;
            }
            let found = content(&store, name);
            for (path, (kind, bytes)) in original {
                let path_text = String::from_utf8_lossy(path);
                // It is in the last group of the journal, which a crash may have torn as well.
                if path.ends_with(b"/late") {
                    continue;
                }
                match found.get(path) {
                    Some((found_kind, found)) => {
                        assert_eq!(found_kind, kind, "{how}: {name}{path_text}");
                        let same = |(at, block): (usize, &[u8])| {
                            let start = at * BLOCK_BYTES;
                            let was = bytes.get(start..(start + block.len()).min(bytes.len()));
                            let was = was.unwrap_or_default();
                            block.iter().all(|byte| *byte == 0) || block.starts_with(was)
                        };
                        let right = found.chunks(BLOCK_BYTES).enumerate().all(same);
                        assert!(right, "{how}: {name}{path_text} holds something else");
                        assert!(
                            found == bytes || !lost.is_empty(),
                            "{how}: {name}{path_text} lost something without a word"
                        );
                    }
                    None => assert!(!lost.is_empty(), "{how}: {name}{path_text} is lost silently"),
                }
            }
        }
    }
    assert!(damaging > 40 && by_path > 15, "{damaging} damaged, {by_path} told by path");
}
