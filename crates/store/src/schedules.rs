//! The whole engine under a scheduler that tries orders of events which threads rarely find:
//! writers, forks, resets, deletes, readers and checkpoints at once, on a simulated device whose
//! power is cut afterwards at moments of its record.
//!
//! The journal says in which order things happened; plain maps that follow it say what a cut may
//! leave. Runs with `cargo xtask soak schedules`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tine_store::{Branch, MemoryDevice, Options, Result, SimulatedDevice, Store};

// Outside this crate, where the oracle lives too, options cannot be written as an expression.
#[allow(clippy::field_reassign_with_default)]
#[path = "../tests/oracle/mod.rs"]
mod oracle;

use oracle::life::History;
use oracle::world::{BranchState, World, one_branch, read_world, scripted};
use oracle::{Content, Dice, assert_sound, block_key, numbered, read_content};

/// What a thread did, and when it began to.
struct Event {
    /// Its number in the journal.
    number: u64,
    /// Changes of the device before.
    began: usize,
    done: Done,
}

enum Done {
    Wrote { branch: String, key: Vec<u8>, value: Vec<u8>, at: u64, first: u64, blocks: u64 },
    Forked { from: String, new: String },
    Reset { name: String, to: String },
    Deleted { name: String },
}

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    /// All below this number was acknowledged when the device had this many changes.
    acknowledged: Vec<(usize, u64)>,
}

struct Run {
    device: Arc<SimulatedDevice>,
    store: Store,
    log: Mutex<Log>,
}

impl Run {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happened(&self, branch: &Branch, began: usize, done: Done) {
        let number = branch.inner.written.load(Ordering::Acquire) - 1;
        self.log().events.push(Event { number, began, done });
    }

    fn acknowledged(&self, below: u64) {
        let at = self.device.changes();
        self.log().acknowledged.push((at, below));
    }

    fn write(&self, name: &str, seed: u64) -> Result<()> {
        let mut dice = Dice(seed);
        let branch = self.store.branch(name)?;
        for n in 0..4 + dice.roll(3) {
            let (at, first) = (dice.roll(6), seed * 10_000 + n * 100);
            let blocks = 1 + dice.roll(2) * dice.roll(12);
            let key = format!("k{}", dice.roll(30)).into_bytes();
            let value = vec![n as u8; dice.roll(1200) as usize];
            let began = self.device.changes();
            let staged = branch.stage(&numbered(first, blocks))?;
            let mut txn = branch.write()?;
            txn.put(&key, &value)?;
            txn.map(b"~f", at, staged)?;
            txn.commit()?;
            let branch_name = name.to_string();
            let done = Done::Wrote { branch: branch_name, key, value, at, first, blocks };
            self.happened(&branch, began, done);
            if dice.roll(3) == 0 {
                branch.sync()?;
                self.acknowledged(branch.inner.written.load(Ordering::Acquire));
            }
        }
        Ok(())
    }

    fn fork_and_delete(&self, seed: u64) -> Result<()> {
        let mut dice = Dice(seed);
        for n in 0..3 {
            let (from, new) = (format!("w{}", dice.roll(2)), format!("f{n}"));
            let began = self.device.changes();
            let fork = self.store.fork(&from, &new)?;
            self.happened(&fork, began, Done::Forked { from, new: new.clone() });
            if dice.roll(2) == 0 {
                let (began, to) = (self.device.changes(), format!("w{}", dice.roll(2)));
                self.store.reset(&new, Some(&to))?;
                self.happened(&fork, began, Done::Reset { name: new.clone(), to });
            }
            if dice.roll(2) == 0 {
                let began = self.device.changes();
                self.store.delete(&new)?;
                self.happened(&fork, began, Done::Deleted { name: new });
                self.store.reclaim_some(2)?;
            }
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<()> {
        for _ in 0..2 {
            self.store.checkpoint()?;
        }
        Ok(())
    }

    fn read(&self) -> Result<()> {
        for name in ["w0", "w1", "w0"] {
            let reader = self.store.branch(name)?.read()?;
            let first = read_content(&reader)?;
            crate::sync::yield_now();
            assert!(first == read_content(&reader)?, "a reader's view changed");
        }
        Ok(())
    }

    /// The states in the order of the journal.
    fn history(&self, start: World) -> History {
        let log = &mut *self.log();
        log.events.sort_by_key(|event| event.number);
        let mut history = History::begin(start.clone());
        let mut world = start;
        let mut began = 0;
        for event in &log.events {
            event.done.apply(&mut world);
            began = event.began.max(began);
            history.issue(began, world.clone());
        }
        for (at, below) in &log.acknowledged {
            let states = log.events.partition_point(|event| event.number < *below);
            history.acknowledge(*at, states);
        }
        history
    }
}

impl Done {
    fn apply(&self, world: &mut World) {
        match self {
            Done::Wrote { branch, key, value, at, first, blocks } => {
                let mut state = (*world[branch]).clone();
                state.content.insert(key.clone(), value.clone());
                for n in 0..*blocks {
                    let number = (first + n).to_le_bytes().to_vec();
                    state.content.insert(block_key(b"~f", at + n), number);
                }
                world.insert(branch.clone(), Arc::new(state));
            }
            Done::Forked { from, new } | Done::Reset { name: new, to: from } => {
                let content: Content = world[from].content.clone();
                let base = Some(Arc::new(content.clone()));
                let state = BranchState { content, base, sealed: false };
                world.insert(new.clone(), Arc::new(state));
            }
            Done::Deleted { name } => {
                world.remove(name);
            }
        }
    }
}

/// A closed store with two writers' branches, made once.
fn start(options: &Options) -> &'static MemoryDevice {
    static START: OnceLock<MemoryDevice> = OnceLock::new();
    START.get_or_init(|| {
        let disk = Arc::new(one_branch(40, options));
        let store = Store::open_on(disk.clone(), options).unwrap();
        store.fork("main", "w0").unwrap();
        store.fork("main", "w1").unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
        disk.clone_contents()
    })
}

fn one_run() {
    let seed = shuttle::rand::Rng::r#gen::<u64>(&mut shuttle::rand::thread_rng()) % 1_000_000;
    let options = scripted(1);
    let device = Arc::new(SimulatedDevice::over(start(&options)));
    let store = Store::open_on(device.clone(), &options).unwrap();
    let world = read_world(&store).unwrap();
    let run = Arc::new(Run { device, store, log: Mutex::default() });
    let spawn = |work: fn(&Run, u64) -> Result<()>, seed: u64| {
        let run = Arc::clone(&run);
        shuttle::thread::spawn(move || work(&run, seed).unwrap())
    };
    let threads = [
        spawn(|run, seed| run.write("w0", seed), seed),
        spawn(|run, seed| run.write("w1", seed), seed + 1),
        spawn(|run, seed| run.fork_and_delete(seed), seed + 2),
        spawn(|run, _| run.checkpoint(), 0),
        spawn(|run, _| run.read(), 0),
    ];
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let history = run.history(world);
    let found = read_world(&run.store).unwrap();
    history.prefix_at(usize::MAX, &found).unwrap();
    let tape = run.device.tape();
    assert_sound(&run.store);
    let mut dice = Dice(seed);
    let mut replay = tape.replay();
    let mut at = 0;
    while at <= tape.changes() {
        replay.advance_to(at, dice.roll(u64::MAX));
        let disk = Arc::new(replay.cut_power(dice.roll(u64::MAX)));
        let store = Store::open_on(disk, &options).unwrap();
        let found = read_world(&store).unwrap();
        history.prefix_at(at, &found).unwrap_or_else(|why| panic!("cut {at}: {why}"));
        assert_sound(&store);
        at += 1 + dice.roll(8) as usize;
    }
}

fn schedules() -> usize {
    std::env::var("TINE_SCHEDULES").map_or(200, |text| text.parse().expect("it is a number"))
}

fn config() -> shuttle::Config {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = shuttle::MaxSteps::FailAfter(20_000_000);
    config
}

#[test]
fn under_random_schedules_every_cut_leaves_one_acknowledged_prefix() {
    let scheduler = shuttle::scheduler::RandomScheduler::new(schedules());
    shuttle::Runner::new(scheduler, config()).run(one_run);
}

/// Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010): a few switches at
/// well-chosen places.
#[test]
fn under_schedules_of_few_switches_every_cut_leaves_one_acknowledged_prefix() {
    let scheduler = shuttle::scheduler::PctScheduler::new(4, schedules());
    shuttle::Runner::new(scheduler, config()).run(one_run);
}
