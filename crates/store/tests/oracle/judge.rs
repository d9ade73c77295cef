//! Cuts the power at every moment of a tape and compares what comes back with the oracle.

use super::Dice;
use super::life::{History, Life};
use super::world::{World, difference, one_branch, read_world, scripted};
use std::sync::Arc;
use tine_store::{MemoryDevice, Options, Result, SimulatedDevice, Store, Tape};

/// How thoroughly a run is judged.
#[derive(Debug, Clone, Copy)]
pub struct Depth {
    /// Runs in a row, each on the disk that a cut of the one before left.
    pub lives: u64,
    /// Steps of a run, at most.
    pub steps: u64,
    /// Of this many cuts, one is followed by cuts at every change of the recovery and of the
    /// checkpoint after it.
    pub again_one_in: u64,
}

/// What came back after a cut, or in which way it is wrong.
type Verdict<T> = std::result::Result<T, String>;

/// Runs one seed. Returns how many cuts were judged, or what is wrong, and where.
pub fn judge_seed(seed: u64, depth: Depth) -> Verdict<u64> {
    let mut dice = Dice(seed);
    let options = scripted(seed);
    let ring_blocks = [24, 40, 96, 1536][dice.roll(4) as usize];
    let mut disk = one_branch(ring_blocks, &options);
    let mut cuts = 0;
    for life in 0..depth.lives {
        let device = Arc::new(SimulatedDevice::over(&disk));
        let run = live(device, &options, &mut dice, depth)
            .map_err(|e| format!("seed {seed}, life {life}: a step fails: {e}"))?;
        let (judged, next) = judge_life(&run, &options, &mut dice, depth)
            .map_err(|why| format!("seed {seed}, life {life}, {why}"))?;
        cuts += judged;
        disk = next;
    }
    Ok(cuts)
}

fn live(
    device: Arc<SimulatedDevice>,
    options: &Options,
    dice: &mut Dice,
    depth: Depth,
) -> Result<Life> {
    let mut life = Life::begin(device, options, dice.roll(u64::MAX))?;
    for _ in 0..1 + dice.roll(depth.steps) {
        life.step()?;
    }
    Ok(life)
}

/// Cuts at every change of the run; also one of the disks that were left.
fn judge_life(
    life: &Life,
    options: &Options,
    dice: &mut Dice,
    depth: Depth,
) -> Verdict<(u64, MemoryDevice)> {
    let tape = life.device.tape();
    let kept = dice.roll(tape.changes() as u64 + 1) as usize;
    let mut next = None;
    let mut cuts = 0;
    let mut replay = tape.replay();
    for at in 0..=tape.changes() {
        replay.advance_to(at, dice.roll(u64::MAX));
        let disk = replay.cut_power(dice.roll(u64::MAX));
        let again = dice.roll(depth.again_one_in) == 0;
        cuts += judge_cut(&life.history, at, &disk, options, again, dice)
            .map_err(|why| format!("cut {at} of {}: {why}", tape.changes()))?;
        if at == kept {
            next = Some(disk);
        }
    }
    Ok((cuts, next.unwrap_or_else(|| replay.all())))
}

fn judge_cut(
    history: &History,
    at: usize,
    disk: &MemoryDevice,
    options: &Options,
    again: bool,
    dice: &mut Dice,
) -> Verdict<u64> {
    let device = Arc::new(SimulatedDevice::over(disk));
    let found = come_back(device.clone(), options)?;
    history.prefix_at(at, &found)?;
    match again {
        true => judge_recovery(&device.tape(), &found, options, dice),
        false => Ok(1),
    }
}

/// Cuts at every change of a recovery, and of the checkpoint after it: the same state comes back.
fn judge_recovery(
    tape: &Tape,
    expected: &World,
    options: &Options,
    dice: &mut Dice,
) -> Verdict<u64> {
    let mut replay = tape.replay();
    for at in 0..=tape.changes() {
        replay.advance_to(at, dice.roll(u64::MAX));
        let disk = Arc::new(SimulatedDevice::over(&replay.cut_power(dice.roll(u64::MAX))));
        let found = come_back(disk, options).map_err(|why| format!("and {at}: {why}"))?;
        if found != *expected {
            return Err(format!("and {at}: another state: {}", difference(&found, expected)));
        }
    }
    Ok(tape.changes() as u64 + 2)
}

/// Opens, reads and checks.
fn come_back(device: Arc<SimulatedDevice>, options: &Options) -> Verdict<World> {
    let store = Store::open_on(device, options).map_err(|e| format!("it does not open: {e}"))?;
    let world = read_world(&store).map_err(|e| format!("it cannot be read: {e}"))?;
    let report = store.check().map_err(|e| format!("it cannot be checked: {e}"))?;
    match report.findings.is_empty() {
        true => Ok(world),
        false => Err(format!("the checker finds {:#?}", report.findings)),
    }
}
