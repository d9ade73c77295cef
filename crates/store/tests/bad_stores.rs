//! Stores that are missing, foreign, locked, cut short, damaged or hostile: an error that says so,
//! or the right data. Never a panic, never other data.

mod oracle;

use oracle::{Content, Dice, numbered, quiet, read_branches};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tine_store::{BLOCK_BYTES, Device, Error, MemoryDevice, Severity, Store};
use xxhash_rust::xxh3::xxh3_128;

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Where the two copies of each of the two superblocks lie, in blocks.
const SUPERBLOCKS: [u64; 4] = [0, 1, 256, 257];
/// Where the first segment begins; the journal lies before it.
const SEGMENTS: u64 = 2048;

type Branches = BTreeMap<String, Content>;

fn open_error(path: &Path) -> Error {
    Store::open(path, &quiet()).expect_err("it is no good store")
}

fn put(store: &Store, branch: &str, key: &[u8]) {
    let branch = store.branch(branch).unwrap();
    let mut txn = branch.write().unwrap();
    txn.put(key, key).unwrap();
    txn.commit().unwrap();
}

/// A small store with a bit of everything, closed with an empty journal; and what it holds.
fn small_store() -> (MemoryDevice, Branches) {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    let mut txn = main.write().unwrap();
    for n in 0..400u64 {
        txn.put(&(n * n).to_be_bytes(), &n.to_le_bytes().repeat(10)).unwrap();
    }
    txn.map(b"~f", 0, main.stage(&numbered(1, 40)).unwrap()).unwrap();
    txn.commit().unwrap();
    store.snapshot("main", "then").unwrap();
    store.fork("main", "trial").unwrap();
    let trial = store.branch("trial").unwrap();
    let mut txn = trial.write().unwrap();
    txn.map(b"~f", 10, trial.stage(&numbered(500, 4)).unwrap()).unwrap();
    txn.share(b"~f", 0..8, b"~g", 0).unwrap();
    txn.put(b"only", b"here").unwrap();
    txn.commit().unwrap();
    store.checkpoint().unwrap();
    let branches = read_branches(&store).unwrap();
    drop((main, trial));
    store.close().unwrap();
    (disk.clone_contents(), branches)
}

#[test]
fn a_path_without_a_store_says_what_is_there_instead() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert!(matches!(open_error(&at("absent")), Error::StoreNotFound { .. }));
    assert!(matches!(open_error(dir.path()), Error::NotAStore { .. }));
    assert!(matches!(open_error(Path::new("/dev/null")), Error::NotAStore { .. }));
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("short", b"tine".to_vec()),
        ("text", b"all work and no play\n".repeat(1000)),
        ("zeros", vec![0; 9 << 20]),
        ("magic", b"tine\xF0\x9F\x8C\xB1".to_vec()),
    ] {
        std::fs::write(at(name), &bytes).unwrap();
        let error = open_error(&at(name));
        assert!(
            matches!(error, Error::NotAStore { .. } | Error::Damaged { .. }),
            "{name}: {error}"
        );
        assert_eq!(
            std::fs::read(at(name)).unwrap(),
            bytes,
            "looking at a file changes nothing in it"
        );
    }
    let mut noise = Dice(1);
    std::fs::write(at("noise"), (0..9 << 20).map(|_| noise.roll(256) as u8).collect::<Vec<_>>())
        .unwrap();
    assert!(matches!(open_error(&at("noise")), Error::NotAStore { .. }));
}

#[test]
fn a_new_store_is_private_and_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::create(&path, &quiet()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(Store::create(&path, &quiet()), Err(Error::StoreExists { .. })));
    store.create_branch("main").unwrap();
    store.close().unwrap();
    assert!(matches!(Store::create(&path, &quiet()), Err(Error::StoreExists { .. })));
    assert_eq!(Store::open(&path, &quiet()).unwrap().branches().unwrap().len(), 1);
    let nowhere = dir.path().join("no/such/place");
    assert!(Store::create(&nowhere, &quiet()).is_err());
}

#[test]
fn a_store_is_open_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::create(&path, &quiet()).unwrap();
    let branch = store.create_branch("main").unwrap();
    let view = branch.read().unwrap();
    assert!(matches!(open_error(&path), Error::Locked { .. }));
    drop(store);
    assert!(matches!(open_error(&path), Error::Locked { .. }), "a branch's handle keeps it open");
    drop(branch);
    assert!(matches!(open_error(&path), Error::Locked { .. }), "a snapshot keeps it open");
    drop(view);
    Store::open(&path, &quiet()).unwrap();
}

#[test]
fn a_store_cut_short_is_an_error_wherever_the_cut_is() {
    let (disk, branches) = small_store();
    let len = disk.len().unwrap();
    let mut dice = Dice(3);
    let mut cuts: Vec<u64> = (0..200).map(|_| dice.roll(len / BLOCK) * BLOCK).collect();
    cuts.extend([0, BLOCK, 2 * BLOCK, 256 * BLOCK, 512 * BLOCK, SEGMENTS * BLOCK, len - BLOCK]);
    for cut in cuts {
        let disk = disk.clone_contents();
        disk.set_len(cut).unwrap();
        match Store::open_on(Arc::new(disk), &quiet()) {
            Err(Error::NotAStore { .. }) => assert_eq!(cut, 0),
            Err(Error::Damaged { .. }) => {}
            Err(error) => panic!("cut at {cut}: {error}"),
            Ok(store) => assert_eq!(read_branches(&store).unwrap(), branches, "cut at {cut}"),
        }
    }
}

/// Changes bytes of a superblock copy and makes its checksum right again.
#[test]
fn a_file_longer_than_its_segments_is_whole_and_a_shorter_one_is_not() {
    let (disk, branches) = small_store();
    let len = disk.len().unwrap();
    // A session that ended before a checkpoint told of the segment it had added.
    let longer = disk.clone_contents();
    longer.set_len(len + (64 << 20)).unwrap();
    assert!(judge(longer, &[&branches], "a segment more"));
    disk.set_len(len - BLOCK).unwrap();
    let told = Store::open_on(Arc::new(disk), &quiet()).expect_err("its end is missing");
    assert!(told.to_string().contains("shorter than its segments"), "{told}");
}

fn forge(disk: &MemoryDevice, block: u64, change: impl FnOnce(&mut [u8])) {
    let mut bytes = vec![0; BLOCK_BYTES];
    disk.read_at(block * BLOCK, &mut bytes).unwrap();
    let (body, sum) = bytes.split_at_mut(BLOCK_BYTES - 16);
    change(body);
    sum.copy_from_slice(&xxh3_128(body).to_le_bytes());
    disk.write_at(block * BLOCK, &bytes).unwrap();
}

#[test]
fn a_store_of_a_later_format_is_refused_by_its_number() {
    // A later version; a feature that a reader must know, and one that a writer must.
    for (place, number) in [(8, 2u8), (16, 2), (24, 2)] {
        let (disk, _) = small_store();
        for block in SUPERBLOCKS {
            forge(&disk, block, |bytes| bytes[place] = number);
        }
        let before = disk.clone_contents();
        let disk = Arc::new(disk);
        match Store::open_on(disk.clone(), &quiet()) {
            Err(Error::Version { .. }) => {}
            other => panic!("format {number} at {place}: {:?}", other.err()),
        }
        for block in 0..SEGMENTS {
            let (mut a, mut b) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
            before.read_at(block * BLOCK, &mut a).unwrap();
            disk.read_at(block * BLOCK, &mut b).unwrap();
            assert!(a == b, "refusing a store changed block {block}");
        }
    }
}

/// What a store with something wrong in it may show: an error, or the right data. A branch that can
/// be read is right; `allowed` are the states that count as right.
fn judge(disk: MemoryDevice, allowed: &[&Branches], what: &str) -> bool {
    let store = match Store::open_on(Arc::new(disk), &quiet()) {
        Ok(store) => store,
        Err(
            Error::Damaged { .. }
            | Error::NotAStore { .. }
            | Error::Version { .. }
            | Error::NoSpace { .. },
        ) => {
            return false;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let whole = match read_branches(&store) {
        Ok(found) => {
            assert!(allowed.contains(&&found), "{what}: it opens with other data");
            true
        }
        Err(Error::Damaged { .. } | Error::BranchNotFound { .. }) => false,
        Err(error) => panic!("{what}: {error}"),
    };
    // The checker finds what is wrong, or nothing; and going on does not panic.
    let _ = store.check();
    for info in store.branches().unwrap_or_default() {
        let Ok(branch) = store.branch(&info.name) else { continue };
        let _ = branch.usage();
        if let Ok(mut txn) = branch.write() {
            let _ = txn.put(b"more", b"of it");
            let _ = txn.unmap(b"~f", 3..12);
            let _ = txn.commit();
        }
        let _ = store.delete(&info.name);
    }
    let _ = store.reclaim_all();
    whole
}

/// Blocks that hold something: outside the journal, and a few of the journal's.
fn used_blocks(disk: &MemoryDevice) -> Vec<u64> {
    let len = disk.len().unwrap() / BLOCK;
    let mut block = vec![0; BLOCK_BYTES];
    let holds = |n: &u64| {
        disk.read_at(n * BLOCK, &mut block).unwrap();
        block.iter().any(|b| *b != 0)
    };
    (0..len).filter(holds).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_or_changes_nothing() {
    let (disk, branches) = small_store();
    let used = used_blocks(&disk);
    assert!(used.len() > 60);
    let mut dice = Dice(11);
    let (mut whole, mut refused) = (0, 0);
    for block in used {
        for _ in 0..6 {
            let disk = disk.clone_contents();
            let mut bytes = vec![0; BLOCK_BYTES];
            disk.read_at(block * BLOCK, &mut bytes).unwrap();
            let at = if dice.roll(2) == 0 { dice.roll(200) } else { dice.roll(BLOCK) } as usize;
            bytes[at] ^= 1 << dice.roll(8);
            disk.write_at(block * BLOCK, &bytes).unwrap();
            let fine = judge(disk, &[&branches], &format!("block {block}, byte {at}"));
            if fine { whole += 1 } else { refused += 1 }
        }
    }
    assert!(whole > 10 && refused > 10, "{whole} stores were whole, {refused} were refused");
}

#[test]
fn lost_misdirected_and_doubled_blocks_are_errors_or_change_nothing() {
    let (disk, branches) = small_store();
    let used = used_blocks(&disk);
    let mut dice = Dice(12);
    for round in 0..600 {
        let disk = disk.clone_contents();
        let mut what = String::new();
        for _ in 0..1 + dice.roll(3) {
            let from = used[dice.roll(used.len() as u64) as usize];
            let to = used[dice.roll(used.len() as u64) as usize];
            // Losing both superblocks of the last checkpoint is indistinguishable from a crash
            // before it.
            if SUPERBLOCKS.contains(&to) {
                continue;
            }
            let mut bytes = vec![0; BLOCK_BYTES];
            if dice.roll(3) > 0 {
                disk.read_at(from * BLOCK, &mut bytes).unwrap();
            }
            disk.write_at(to * BLOCK, &bytes).unwrap();
            what.push_str(&format!("round {round}: {from} over {to}; "));
        }
        judge(disk, &[&branches], &what);
    }
}

#[test]
fn damage_in_the_journal_is_an_error_or_a_prefix_of_what_was_committed() {
    let (disk, branches) = small_store();
    let disk = Arc::new(disk);
    let mut states = vec![branches];
    let store = Store::open_on(disk.clone(), &quiet()).unwrap();
    for n in 0..20u64 {
        put(&store, "trial", format!("later {n}").as_bytes());
        states.push(read_branches(&store).unwrap());
        store.sync().unwrap();
    }
    store.close().unwrap();
    let allowed: Vec<&Branches> = states.iter().collect();
    let last = [&states[20]];
    let journal: Vec<u64> =
        used_blocks(&disk).into_iter().filter(|b| (512..SEGMENTS).contains(b)).collect();
    assert!(journal.len() >= 20);
    let mut dice = Dice(13);
    assert!(judge(disk.clone_contents(), &last, "undamaged"));
    let mut refused = 0;
    for block in journal {
        for _ in 0..8 {
            let disk = disk.clone_contents();
            let mut bytes = vec![0; BLOCK_BYTES];
            disk.read_at(block * BLOCK, &mut bytes).unwrap();
            bytes[dice.roll(160) as usize] ^= 1 << dice.roll(8);
            disk.write_at(block * BLOCK, &bytes).unwrap();
            if !judge(disk, &allowed, &format!("journal block {block}")) {
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "damage before the durable point is told, and not cut off: {refused}");
}

#[test]
fn a_superblock_forged_with_a_right_checksum_never_makes_it_panic() {
    let (disk, _) = small_store();
    let mut dice = Dice(14);
    for round in 0..1500 {
        let disk = disk.clone_contents();
        // The same lie in every copy, or the honest one would win.
        let (at, bytes) = (8 + dice.roll(230) as usize, 1 + dice.roll(8) as usize);
        let lie: Vec<u8> = match dice.roll(4) {
            0 => vec![0xFF; bytes],
            1 => vec![0; bytes],
            2 => vec![0x7F; bytes],
            _ => (0..bytes).map(|_| dice.roll(256) as u8).collect(),
        };
        for block in SUPERBLOCKS {
            forge(&disk, block, |body| body[at..at + bytes].copy_from_slice(&lie));
        }
        survive(disk, &format!("round {round}: {lie:x?} at {at}"));
    }
}

/// Opens and uses a store that may say anything: errors are welcome, panics are not.
fn survive(disk: MemoryDevice, what: &str) {
    // A lie about sizes must not cost memory without bound either.
    disk.set_capacity(Some(256 << 20));
    let used = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let Ok(store) = Store::open_on(Arc::new(disk), &quiet()) else { return };
        let _ = store.check();
        let _ = store.usage();
        for info in store.branches().unwrap_or_default() {
            let Ok(branch) = store.branch(&info.name) else { continue };
            if let Ok(read) = branch.read() {
                for entry in
                    read.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).take(2000)
                {
                    let Ok((key, _)) = entry else { break };
                    let _ = read.get(&key);
                }
                let _ = read.read_map(b"~f", 5, &mut [0; 20_000]);
            }
            let _ = branch.usage();
            if let Ok(mut txn) = branch.write() {
                let _ = txn.put(b"more", b"of it");
                let _ = txn.unmap(b"~f", 3..12);
                let _ = txn.commit();
            }
            let _ = store.fork(&info.name, "another");
            let _ = store.delete(&info.name);
        }
        let _ = store.reclaim_all();
        let _ = store.close();
    }));
    assert!(used.is_ok(), "{what}");
}

/// Forges the pointer to the system tree's root along with the root: a forged store.
#[test]
fn a_system_tree_forged_with_right_checksums_never_makes_it_panic() {
    let (disk, _) = small_store();
    let mut newest = vec![0; BLOCK_BYTES];
    let number =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    for block in [0, 256] {
        let mut bytes = vec![0; BLOCK_BYTES];
        disk.read_at(block * BLOCK, &mut bytes).unwrap();
        // The checkpoint's number follows magic, version, features and the store's own number.
        if number(&bytes, 48) > number(&newest, 48) {
            newest = bytes;
        }
    }
    let pointer = (100..400)
        .find(|at| {
            let node = number(&newest, *at).saturating_mul(BLOCK);
            let mut image = vec![0; 2 * BLOCK_BYTES];
            node < disk.len().unwrap()
                && disk.read_at(node, &mut image).is_ok()
                && xxh3_128(&image).to_le_bytes() == newest[at + 16..at + 32]
        })
        .expect("the superblock names the system tree");
    let node = number(&newest, pointer) * BLOCK;
    let mut image = vec![0; 2 * BLOCK_BYTES];
    disk.read_at(node, &mut image).unwrap();
    let filled = image.iter().rposition(|b| *b != 0).unwrap();
    let mut dice = Dice(15);
    for round in 0..3000 {
        let disk = disk.clone_contents();
        let mut forged = image.clone();
        let mut what = format!("round {round}:");
        for _ in 0..1 + dice.roll(3) {
            let (at, len) = (dice.roll(filled as u64) as usize, 1 + dice.roll(8) as usize);
            let byte = [0, 0xFF, 0x7F, dice.roll(256) as u8][dice.roll(4) as usize];
            forged[at..at + len].fill(byte);
            what.push_str(&format!(" {len} x {byte:#x} at {at}"));
        }
        disk.write_at(node, &forged).unwrap();
        let sum = xxh3_128(&forged).to_le_bytes();
        for block in SUPERBLOCKS {
            forge(&disk, block, |body| {
                body[..newest.len() - 16].copy_from_slice(&newest[..newest.len() - 16]);
                body[pointer + 16..pointer + 32].copy_from_slice(&sum);
            });
        }
        survive(disk, &what);
    }
}

#[test]
fn the_checker_names_rotten_data_and_where_it_lies() {
    let (disk, _) = small_store();
    let disk = Arc::new(disk);
    let store = Store::open_on(disk.clone(), &quiet()).unwrap();
    // The block that holds the number 30 throughout.
    let rotten = (SEGMENTS..disk.len().unwrap() / BLOCK)
        .find(|block| {
            let mut bytes = vec![0; BLOCK_BYTES];
            disk.read_at(block * BLOCK, &mut bytes).unwrap();
            bytes == numbered(30, 1)
        })
        .unwrap();
    disk.write_at(rotten * BLOCK, &numbered(31, 1)).unwrap();
    let report = store.check().unwrap();
    assert!(
        report
            .findings
            .iter()
            .any(|f| f.severity >= Severity::Error && f.place.contains(&rotten.to_string())),
        "{:?}",
        report.findings
    );
    let read = store.branch("main").unwrap().read().unwrap();
    let mut block = vec![0; BLOCK_BYTES];
    match read.read_map(b"~f", 29 * BLOCK, &mut block) {
        Err(Error::Damaged { block, .. }) => assert_eq!(block, Some(rotten)),
        other => panic!("rotten data is read as {other:?}"),
    }
    read.read_map(b"~f", 28 * BLOCK, &mut block).unwrap();
    assert_eq!(block, numbered(29, 1));
}
