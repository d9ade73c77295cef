//! Engines with the same limit on memory, for their own cache and the host's pages of their files
//! together. The work is done in a separate process, in a control group whose memory the kernel
//! limits, in a store that is larger.
//!
//! LMDB is opened with its option for that. Without it, each fault in its map reads as much as the
//! host reads ahead, which is 8 MiB on some.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tine_bench::table::Table;

use super::contest::{Contestant, contest, per_operation};
use super::data::{Key, Random, pair, pairs};
use super::peers;
use super::subject::Engine;
use super::workloads::{BATCH, best_of_both, name, redb};

/// 174 MB of keys and values.
const PAIRS: usize = 1_000_000;
/// All the memory that a process may fill.
const LIMIT_BYTES: u64 = 256 << 20;
/// The size of the cache of engines that have their own.
const CACHE_BYTES: u64 = 32 << 20;

const HELD: [Engine; 3] = [
    Engine { name: "tine", open: peers::tine::open },
    Engine { name: "redb", open: peers::redb::open },
    Engine { name: "LMDB", open: peers::lmdb::open_scattered },
];

const READ: &str = "random read in 256 MiB of memory";
const BATCHED: &str = "durable batch of 1,000 in 256 MiB of memory, a pair";

pub fn run(table: &mut Table) -> Result<()> {
    let rows = [READ, BATCHED];
    if !rows.iter().any(|what| table.wants(what)) {
        return Ok(());
    }
    let group = match Group::new() {
        Ok(group) => group,
        Err(error) => {
            rows.iter().for_each(|what| table.not_run(what, &format!("{error:#}")));
            return Ok(());
        }
    };
    let mut all = loaded()?;
    for (wanted, work) in [(redb(READ), "read"), (best_of_both(BATCHED), "batch")] {
        if table.wants(wanted.what) {
            contest(table, wanted, &mut all, name, |contestant, round| {
                group.measure(contestant, work, round)
            })?;
            table.print_probe();
        }
    }
    Ok(())
}

/// The engines with all pairs.
fn loaded() -> Result<Vec<Contestant>> {
    let pairs = pairs(PAIRS, 1);
    let load = |engine: &Engine| {
        let contestant = Contestant::new(*engine, CACHE_BYTES)?;
        contestant.subject()?.write(&pairs)?;
        Ok(contestant)
    };
    HELD.iter().map(load).collect()
}

/// What a process in the group does. The arguments are engine, directory, work and round. Prints
/// the seconds of one operation.
pub fn work(arguments: &[String]) -> Result<()> {
    let [engine, directory, work, round] = arguments else {
        bail!("engine, directory, work, round")
    };
    let engine = HELD.iter().find(|known| known.name == engine).context("no such engine")?;
    let subject = (engine.open)(Path::new(directory), CACHE_BYTES)?;
    let round: u64 = round.parse()?;
    let seconds = match work.as_str() {
        "read" => {
            const READS: usize = 2000;
            let keys = some_keys(READS, round);
            per_operation(READS, || subject.get(&keys))?
        }
        _ => {
            let new = pairs(10 * BATCH, 9_000_000 + round);
            per_operation(new.len(), || new.chunks(BATCH).try_for_each(|some| subject.write(some)))?
        }
    };
    println!("{seconds:e}");
    Ok(())
}

/// Random keys that exist. Making all pairs would fill the memory.
fn some_keys(count: usize, seed: u64) -> Vec<Key> {
    let mut random = Random::new(seed);
    let drawn: Vec<usize> = (0..count).map(|_| random.below(PAIRS)).collect();
    let mut keys: HashMap<usize, Key> = drawn.iter().map(|at| (*at, [0; 24])).collect();
    let mut random = Random::new(1);
    for at in 0..PAIRS {
        let (key, _) = pair(&mut random);
        keys.entry(at).and_modify(|wanted| *wanted = key);
    }
    drawn.iter().map(|at| keys[at]).collect()
}

/// A control group with little memory. Dropping it removes it.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Group> {
        // The hierarchy of this controller, or else the one that all share.
        let (own, shared) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (parent, limit) =
            if own.is_dir() { (own, "memory.limit_in_bytes") } else { (shared, "memory.max") };
        let group = Group(parent.join(format!("tine-bench-{}", std::process::id())));
        std::fs::create_dir(&group.0).context("make a control group: is this root?")?;
        std::fs::write(group.0.join(limit), LIMIT_BYTES.to_string())
            .context("limit the memory of a control group")?;
        Ok(group)
    }

    /// Seconds of one operation of a process in the group.
    fn measure(&self, contestant: &mut Contestant, work: &str, round: usize) -> Result<f64> {
        let engine = contestant.engine.name;
        let directory = contestant.close_cold()?;
        let joined = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", joined]).arg(&self.0).arg(std::env::current_exe()?);
        command.args(["kv-limited", engine]).arg(directory).args([work, &round.to_string()]);
        let output = command.stderr(std::process::Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{engine} in {LIMIT_BYTES} bytes: {}", output.status);
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // If this fails, an empty group remains until the machine restarts.
        let _ = std::fs::remove_dir(&self.0);
    }
}
