//! Power cuts at every moment. What comes back is one prefix of the history, over all branches, that
//! holds all that was acknowledged; the checker then finds nothing.

mod oracle;

use oracle::{
    Content, Dice, assert_sound, block_key, numbered, quiet, read_branches, read_content,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tine_store::{
    Device, Error, Lossy, LossyDevice, MemoryDevice, Options, Result, Store, Survivors,
};

/// A branch: its content, that of its fork point, whether it is sealed.
type BranchModel = (Content, Option<Content>, bool);
type World = BTreeMap<String, BranchModel>;

fn read_world(store: &Store) -> World {
    let infos = store.branches().unwrap();
    let describe = |name: &str, sealed| {
        let branch = store.branch(name).unwrap();
        let base = branch.base().unwrap().map(|base| read_content(&base).unwrap());
        (name.to_string(), (read_content(&branch.read().unwrap()).unwrap(), base, sealed))
    };
    infos.iter().map(|info| describe(&info.name, info.sealed)).collect()
}

/// A store that lives until its power goes, and all the states it may come back in.
struct Life {
    store: Store,
    dice: Dice,
    /// State after each change that was begun, oldest first.
    issued: Vec<World>,
    /// The last of them that is known to be durable.
    acknowledged: usize,
    /// The last change of each branch.
    written: BTreeMap<String, usize>,
    names: u64,
    stamp: u64,
}

impl Life {
    fn begin(store: Store, seed: u64) -> Life {
        let issued = vec![read_world(&store)];
        let names = seed % 1_000_000 * 1000;
        Life {
            store,
            dice: Dice(seed),
            issued,
            acknowledged: 0,
            written: BTreeMap::new(),
            names,
            stamp: seed << 20,
        }
    }

    fn now(&self) -> &World {
        self.issued.last().unwrap()
    }

    fn pick(&mut self) -> String {
        let branches = self.now().len() as u64;
        let at = self.dice.roll(branches) as usize;
        self.now().keys().nth(at).cloned().unwrap()
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("b{}", self.names)
    }

    /// One random step. The state that it leads to counts as issued before it is begun.
    fn step(&mut self) -> Result<()> {
        match self.dice.roll(20) {
            0..10 => self.change_content(),
            10..12 => self.fork(),
            12 => self.delete(),
            13 => self.rename(),
            14 => self.reset(),
            15 => {
                let name = self.pick();
                self.store.branch(&name)?.sync()?;
                self.acknowledged =
                    self.acknowledged.max(self.written.get(&name).copied().unwrap_or(0));
                Ok(())
            }
            16 | 17 => self.all_durable(Store::sync),
            18 => self.all_durable(Store::checkpoint),
            _ => self.all_durable(Store::reclaim_all),
        }
    }

    fn all_durable(&mut self, by: impl Fn(&Store) -> Result<()>) -> Result<()> {
        by(&self.store)?;
        self.acknowledged = self.issued.len() - 1;
        Ok(())
    }

    fn change_content(&mut self) -> Result<()> {
        let name = self.pick();
        if self.now()[&name].2 {
            return Ok(());
        }
        let branch = self.store.branch(&name)?;
        let mut world = self.now().clone();
        let content = &mut world.get_mut(&name).unwrap().0;
        let dice = &mut self.dice;
        let mut txn = branch.write()?;
        for _ in 0..1 + dice.roll(6) {
            self.stamp += 1000;
            let map = [b'~', dice.roll(2) as u8];
            match dice.roll(6) {
                0..3 => {
                    let key = format!("entry {}", dice.roll(60)).into_bytes();
                    let value = vec![self.stamp as u8; dice.roll(900) as usize];
                    txn.put(&key, &value)?;
                    content.insert(key, value);
                }
                3 => {
                    let key = format!("entry {}", dice.roll(60)).into_bytes();
                    txn.delete(&key)?;
                    content.remove(&key);
                }
                4 => {
                    // Small runs travel in the journal, large ones are written beside it.
                    let blocks =
                        if dice.roll(3) == 0 { 8 + dice.roll(30) } else { 1 + dice.roll(4) };
                    let at = dice.roll(100);
                    let staged = branch.stage(&numbered(self.stamp, blocks))?;
                    txn.map(&map, at, staged)?;
                    for n in 0..blocks {
                        content.insert(
                            block_key(&map, at + n),
                            (self.stamp + n).to_le_bytes().to_vec(),
                        );
                    }
                }
                _ => {
                    let (at, blocks) = (dice.roll(100), 1 + dice.roll(50));
                    txn.unmap(&map, at, blocks)?;
                    for block in at..at + blocks {
                        content.remove(&block_key(&map, block));
                    }
                }
            }
        }
        self.written.insert(name, self.issued.len());
        self.issued.push(world);
        txn.commit()
    }

    fn fork(&mut self) -> Result<()> {
        let (from, new) = (self.pick(), self.new_name());
        let sealed = self.dice.roll(4) == 0;
        let mut world = self.now().clone();
        let content = world[&from].0.clone();
        world.insert(new.clone(), (content.clone(), Some(content), sealed));
        self.written.insert(new.clone(), self.issued.len());
        self.issued.push(world);
        if sealed {
            self.store.snapshot(&from, &new).map(drop)
        } else {
            self.store.fork(&from, &new).map(drop)
        }
    }

    fn delete(&mut self) -> Result<()> {
        let name = self.pick();
        if self.now().len() < 3 {
            return Ok(());
        }
        let mut world = self.now().clone();
        world.remove(&name);
        self.written.remove(&name);
        self.issued.push(world);
        self.store.delete(&name)
    }

    fn rename(&mut self) -> Result<()> {
        let (old, new) = (self.pick(), self.new_name());
        let mut world = self.now().clone();
        let branch = world.remove(&old).unwrap();
        world.insert(new.clone(), branch);
        self.written.remove(&old);
        self.written.insert(new.clone(), self.issued.len());
        self.issued.push(world);
        self.store.rename(&old, &new)
    }

    fn reset(&mut self) -> Result<()> {
        let (name, to) = (self.pick(), self.pick());
        let mut world = self.now().clone();
        if name == to || world[&name].2 {
            return Ok(());
        }
        let target = world[&to].0.clone();
        world.insert(name.clone(), (target.clone(), Some(target), false));
        self.written.insert(name.clone(), self.issued.len());
        self.issued.push(world);
        self.store.reset(&name, Some(&to))
    }

    /// What a store that came back holds must be one of the states from the acknowledged one on.
    fn assert_prefix(&self, found: &World) {
        let k = self.issued.iter().rposition(|world| world == found);
        let Some(k) = k else {
            panic!("what came back is no prefix of the {} states", self.issued.len());
        };
        assert!(
            k >= self.acknowledged,
            "state {k} came back, state {} was acknowledged",
            self.acknowledged
        );
    }
}

fn survivors(dice: &mut Dice) -> Survivors {
    if dice.roll(4) == 0 { Survivors::None } else { Survivors::Random(dice.roll(u64::MAX)) }
}

fn lossy(disk: &Arc<MemoryDevice>) -> Arc<LossyDevice> {
    Arc::new(LossyDevice::over(disk.clone(), false).unwrap())
}

/// A store with one empty branch, durable and closed.
fn one_branch() -> MemoryDevice {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    store.create_branch("main").unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    disk.clone_contents()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn after_any_power_cut_and_cuts_during_recovery_one_acknowledged_prefix_comes_back(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let disk = Arc::new(one_branch());
        for _ in 0..4 {
            let device = lossy(&disk);
            let mut life = Life::begin(Store::open_on(device.clone(), &quiet()).unwrap(), dice.roll(u64::MAX));
            device.cut_after(dice.roll(150));
            for _ in 0..60 {
                if let Err(error) = life.step() {
                    prop_assert!(device.is_dead(), "a step fails while the power is on: {error}");
                    break;
                }
            }
            device.power_cut(survivors(&mut dice)).unwrap();
            for _ in 0..dice.roll(4) {
                let device = lossy(&disk);
                device.cut_after(dice.roll(12));
                drop(Store::open_on(device.clone(), &quiet()));
                device.power_cut(survivors(&mut dice)).unwrap();
            }
            let store = Store::open_on(disk.clone(), &quiet()).unwrap();
            life.assert_prefix(&read_world(&store));
            assert_sound(&store);
            store.close().unwrap();
        }
    }
}

/// A short history with one of each: the same device changes every time.
fn short_history(store: &Store, mut issue: impl FnMut(bool)) -> Result<()> {
    let main = store.branch("main")?;
    let mut put = |branch: &tine_store::Branch, key: &[u8], blocks: u64| -> Result<()> {
        let staged = branch.stage(&numbered(7, blocks))?;
        let mut txn = branch.write()?;
        txn.put(key, key)?;
        txn.map(b"~f", 3, staged)?;
        issue(false);
        txn.commit()?;
        branch.sync()?;
        issue(true);
        Ok(())
    };
    put(&main, b"one", 2)?;
    put(&main, b"two", 20)?;
    let trial = store.fork("main", "trial")?;
    put(&trial, b"three", 3)?;
    store.checkpoint()?;
    put(&main, b"four", 1)?;
    put(&trial, b"five", 12)?;
    store.delete("trial")?;
    store.reclaim_all()?;
    put(&main, b"six", 5)?;
    store.checkpoint()
}

#[test]
fn a_cut_at_every_change_of_a_short_history_keeps_what_was_acknowledged() {
    let start = one_branch();
    // An undisturbed run says which keys exist after how many commits.
    let keys: [&[u8]; 6] = [b"one", b"two", b"three", b"four", b"five", b"six"];
    let mut cuts = 0;
    for changes in 0.. {
        let disk = Arc::new(start.clone_contents());
        let device = lossy(&disk);
        let store = Store::open_on(device.clone(), &quiet()).unwrap();
        device.cut_after(changes);
        let (mut issued, mut acknowledged) = (0, 0);
        let finished =
            short_history(&store, |durable| if durable { acknowledged += 1 } else { issued += 1 })
                .is_ok();
        drop(store);
        if finished {
            break;
        }
        cuts += 1;
        let kept = if changes % 3 == 0 { Survivors::None } else { Survivors::Random(changes) };
        device.power_cut(kept).unwrap();
        // And again at every change of the recovery.
        for again in 0.. {
            let disk = Arc::new(disk.clone_contents());
            let device = lossy(&disk);
            device.cut_after(again);
            let recovered = Store::open_on(device.clone(), &quiet()).is_ok();
            device.power_cut(Survivors::Random(changes * 100 + again)).unwrap();
            let store = Store::open_on(disk, &quiet()).unwrap();
            let found = read_branches(&store).unwrap();
            for (at, key) in keys.iter().enumerate() {
                let there = found.values().any(|content| content.contains_key(*key));
                // The branch of the third and fifth is deleted later on.
                let may_be_gone = [2, 4].contains(&at) && issued >= 5;
                assert!(
                    there || at >= acknowledged || may_be_gone,
                    "cut {changes}/{again}: key {at} is lost"
                );
                assert!(!there || at < issued, "cut {changes}/{again}: key {at} was never issued");
            }
            assert_sound(&store);
            if recovered {
                break;
            }
        }
    }
    assert!(cuts > 30, "the history made only {cuts} changes");
}

/// Enough synced commits in a short time make the journal move to a larger ring.
#[test]
fn a_journal_that_outgrew_its_first_ring_is_as_safe_as_before() {
    for seed in 0..2u64 {
        let disk = Arc::new(one_branch());
        let device = lossy(&disk);
        let store = Store::open_on(device.clone(), &quiet()).unwrap();
        let main = store.branch("main").unwrap();
        let mut dice = Dice(seed);
        let cut_at = 3600 + dice.roll(3000);
        let mut durable = 0;
        device.cut_after(cut_at);
        for n in 0u64.. {
            let commit = || -> Result<()> {
                let mut txn = main.write()?;
                txn.put(&(n % 300).to_be_bytes(), &n.to_be_bytes().repeat(150))?;
                txn.map(b"~f", n % 100, main.stage(&numbered(n, 1))?)?;
                txn.commit()?;
                main.sync()?;
                if n % 900 == 899 { store.checkpoint() } else { Ok(()) }
            };
            if commit().is_err() {
                assert!(device.is_dead());
                break;
            }
            durable = n;
        }
        let ring = store.usage().map(|usage| usage.metadata_bytes);
        device.power_cut(Survivors::Random(seed)).unwrap();
        drop((main, store));
        for round in 0..3u64 {
            let store = Store::open_on(disk.clone(), &quiet()).unwrap();
            assert_sound(&store);
            let usage = store.usage().unwrap();
            assert!(usage.metadata_bytes > 32 << 20, "the ring did not grow: {usage:?}, {ring:?}");
            let main = store.branch("main").unwrap();
            let read = main.read().unwrap();
            if round == 0 {
                read_content(&read).unwrap();
                let found = read.get(&(durable % 300).to_be_bytes()).unwrap().unwrap();
                assert!(u64::from_be_bytes(found[..8].try_into().unwrap()) >= durable);
            }
            // What is written now must not land on the journal, nor the journal on it.
            for part in 0..8 {
                let mut txn = main.write().unwrap();
                txn.map(
                    b"~g",
                    part * 256,
                    main.stage(&numbered(round * 10_000 + part * 256, 256)).unwrap(),
                )
                .unwrap();
                txn.commit().unwrap();
                main.sync().unwrap();
            }
            drop((read, main));
            store.close().unwrap();
        }
    }
}

#[test]
fn a_store_on_a_disk_that_ignores_flushes_loses_what_it_acknowledged() {
    let disk = Arc::new(one_branch());
    let device = Arc::new(LossyDevice::over(disk.clone(), true).unwrap());
    let store = Store::open_on(device.clone(), &quiet()).unwrap();
    let main = store.branch("main").unwrap();
    let mut txn = main.write().unwrap();
    txn.put(b"k", b"v").unwrap();
    txn.commit().unwrap();
    main.sync().unwrap();
    device.power_cut(Survivors::None).unwrap();
    let store = Store::open_on(disk, &quiet()).unwrap();
    assert_eq!(store.branch("main").unwrap().read().unwrap().get(b"k").unwrap(), None);
}

/// Writers, forks and checkpoints in parallel: each commit names a number that its writer saw in
/// another branch before, so what comes back must hold that one too.
#[test]
fn parallel_writers_come_back_in_one_order_over_all_branches() {
    const WRITERS: usize = 3;
    for round in 0..12u64 {
        let disk = Arc::new(one_branch());
        let device = lossy(&disk);
        let mut options = Options::default();
        options.cache_bytes = 1 << 16;
        let store = Store::open_on(device.clone(), &options).unwrap();
        for writer in 0..WRITERS {
            store.create_branch(&format!("w{writer}")).unwrap();
        }
        store.sync().unwrap();
        let committed: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        let durable: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        let stop = AtomicBool::new(false);
        device.cut_after(150 + round * 40);
        std::thread::scope(|scope| {
            for me in 0..WRITERS {
                let (store, committed, durable, stop) = (&store, &committed, &durable, &stop);
                scope.spawn(move || -> Result<()> {
                    let branch = store.branch(&format!("w{me}"))?;
                    for n in 1.. {
                        if stop.load(Ordering::Acquire) {
                            return Ok(());
                        }
                        let seen = committed[(me + 1) % WRITERS].load(Ordering::Acquire);
                        let staged = branch.stage(&numbered(n, 1 + n % 12))?;
                        let mut txn = branch.write()?;
                        txn.put(b"n", &n.to_be_bytes())?;
                        txn.put(b"seen", &seen.to_be_bytes())?;
                        txn.map(b"~f", n % 50, staged)?;
                        txn.commit()?;
                        committed[me].store(n, Ordering::Release);
                        if n % 3 == 0 {
                            branch.sync()?;
                            durable[me].store(n, Ordering::Release);
                        }
                    }
                    Ok(())
                });
            }
            scope.spawn(|| -> Result<()> {
                for n in 0.. {
                    if stop.load(Ordering::Acquire) {
                        return Ok(());
                    }
                    store.fork("w0", &format!("f{n}"))?;
                    store.checkpoint()?;
                    store.delete(&format!("f{n}"))?;
                }
                Ok(())
            });
            for _ in 0..3000 {
                if device.is_dead() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Release);
        });
        assert!(device.is_dead(), "the writers made fewer changes than the fuse allows");
        device.power_cut(Survivors::Random(round)).unwrap();
        drop(store);
        let store = Store::open_on(disk, &quiet()).unwrap();
        assert_sound(&store);
        let number = |writer: usize, key: &[u8]| {
            let read = store.branch(&format!("w{}", writer % WRITERS)).unwrap().read().unwrap();
            read_content(&read).unwrap();
            read.get(key).unwrap().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
        };
        for writer in 0..WRITERS {
            let n = number(writer, b"n");
            assert!(
                n >= durable[writer].load(Ordering::Acquire),
                "an acknowledged commit of w{writer} is lost"
            );
            assert!(n <= committed[writer].load(Ordering::Acquire) + 1);
            assert!(
                number(writer + 1, b"n") >= number(writer, b"seen"),
                "w{writer} came back without what it saw"
            );
        }
    }
}

/// A disk whose flushes, or writes, can be made to fail.
#[derive(Debug)]
struct Failing {
    disk: Arc<MemoryDevice>,
    sync_fails: AtomicBool,
    write_fails: AtomicBool,
}

fn unless(fails: &AtomicBool) -> io::Result<()> {
    if fails.load(Ordering::Acquire) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
}

impl Device for Failing {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        unless(&self.write_fails).and_then(|()| self.disk.write_at(offset, buf))
    }
    fn sync(&self) -> io::Result<()> {
        unless(&self.sync_fails)
    }
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.set_len(bytes)
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.allocate(offset, len)
    }
    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.punch(offset, len)
    }
    fn allocated_bytes(&self) -> io::Result<u64> {
        self.disk.allocated_bytes()
    }
    fn host_free_bytes(&self) -> io::Result<u64> {
        self.disk.host_free_bytes()
    }
}

#[test]
fn a_failed_flush_or_write_ends_all_writing_until_the_store_is_opened_again() {
    for fail_write in [false, true] {
        let disk = Arc::new(one_branch());
        let failing = Arc::new(Failing {
            disk: disk.clone(),
            sync_fails: AtomicBool::new(false),
            write_fails: AtomicBool::new(false),
        });
        let store = Store::open_on(failing.clone(), &quiet()).unwrap();
        let main = store.branch("main").unwrap();
        let put = |key: &[u8]| -> Result<()> {
            let mut txn = main.write()?;
            txn.put(key, b"v")?;
            txn.commit()
        };
        put(b"before").unwrap();
        main.sync().unwrap();
        let fails = if fail_write { &failing.write_fails } else { &failing.sync_fails };
        fails.store(true, Ordering::Release);
        put(b"during").unwrap();
        assert!(matches!(main.sync(), Err(Error::Io { .. })), "the failure itself is told");
        fails.store(false, Ordering::Release);
        // The disk works again, but nobody knows what it kept: nothing is retried into a lie.
        assert!(matches!(main.sync(), Err(Error::Poisoned { .. })));
        assert!(matches!(put(b"after"), Err(Error::Poisoned { .. })));
        assert!(matches!(store.checkpoint(), Err(Error::Poisoned { .. })));
        assert!(matches!(store.fork("main", "trial"), Err(Error::Poisoned { .. })));
        assert_eq!(
            main.read().unwrap().get(b"before").unwrap(),
            Some(b"v".to_vec()),
            "reading goes on"
        );
        drop(main);
        assert!(store.close().is_err());
        let store = Store::open_on(disk, &quiet()).unwrap();
        let read = store.branch("main").unwrap().read().unwrap();
        assert_eq!(read.get(b"before").unwrap(), Some(b"v".to_vec()));
        assert_eq!(read.get(b"after").unwrap(), None);
        assert_sound(&store);
    }
}

const CHILD_STORE: &str = "TINE_TEST_STORE";
const CHILD_IGNORES_FLUSHES: &str = "TINE_TEST_IGNORES_FLUSHES";

/// Not a test: the process that the next test kills. Prints each number that it was told is durable.
#[test]
#[ignore = "run as a child by the test that kills it"]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD_STORE) else { return };
    let mut options = Options::default();
    let ignores = std::env::var_os(CHILD_IGNORES_FLUSHES).is_some();
    options.lossy = Some(if ignores { Lossy::IgnoresFlushes } else { Lossy::Honest });
    let store = Store::open(path.as_ref(), &options).unwrap();
    let main = store.branch("main").unwrap();
    for n in 1u64.. {
        let staged = main.stage(&numbered(n, 1 + n % 20)).unwrap();
        let mut txn = main.write().unwrap();
        txn.put(&n.to_be_bytes(), b"here").unwrap();
        txn.map(b"~f", n % 100, staged).unwrap();
        txn.commit().unwrap();
        if n % 50 == 0 {
            store.checkpoint().unwrap();
        }
        main.sync().unwrap();
        println!("durable {n}");
    }
}

/// Runs the child, kills it after `count` acknowledgements; the last one seen, and what came back.
fn kill_after(count: usize, ignores_flushes: bool) -> (u64, Result<(u64, bool)>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::create(&path, &quiet()).unwrap();
    store.create_branch("main").unwrap();
    store.close().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_that_commits_until_it_is_killed", "--ignored", "--nocapture"]);
    child.env(CHILD_STORE, &path).stdout(Stdio::piped()).stderr(Stdio::null());
    if ignores_flushes {
        child.env(CHILD_IGNORES_FLUSHES, "1");
    }
    let mut child = child.spawn().unwrap();
    let mut last = 0;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    while seen < count {
        let line = lines.next().expect("the child goes on").unwrap();
        if let Some((_, n)) = line.rsplit_once("durable ") {
            last = n.parse().unwrap();
            seen += 1;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let found = Store::open(&path, &quiet()).and_then(|store| {
        let read = store.branch("main")?.read()?;
        let numbers =
            (1..).take_while(|n: &u64| matches!(read.get(&n.to_be_bytes()), Ok(Some(_)))).count();
        read_content(&read)?;
        Ok((numbers as u64, store.check()?.findings.is_empty()))
    });
    (last, found)
}

#[test]
fn a_killed_process_on_a_disk_that_forgets_loses_nothing_acknowledged() {
    for count in [1, 7, 49, 51, 160] {
        let (last, found) = kill_after(count, false);
        let (numbers, sound) = found.unwrap();
        assert!(numbers >= last && sound, "{last} commits were acknowledged, {numbers} came back");
    }
}

#[test]
fn a_killed_process_on_a_disk_that_ignores_flushes_does_lose_what_it_acknowledged() {
    let (last, found) = kill_after(20, true);
    assert!(
        !matches!(found, Ok((numbers, _)) if numbers >= last),
        "the test of crash safety cannot fail"
    );
}
