//! A fuzzer's loop: run a program on a prepared state, look at what it did, go back.
//!
//! `cargo run --release -p tine-memory --example reset_loop`

use std::time::Instant;

use tine_memory::{Image, PAGE, Result};

const STATE: usize = 256 << 20;
const RUNS: u32 = 2000;

/// Writes to the state as the input says. Returns how many pages it wrote.
fn program(state: &mut [u8], mut input: u64) -> usize {
    let writes = (input % 200) as usize;
    for _ in 0..writes {
        input = input.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state[(input >> 20) as usize % 2000 * PAGE] ^= input as u8;
    }
    writes
}

fn main() -> Result<()> {
    let prepared = Image::builder(STATE)?.fill(|state| state.fill(7))?.seal()?;
    let mut state = prepared.fork()?;
    state.keep_warm()?;
    let (begun, mut writes) = (Instant::now(), 0);
    for input in 0..RUNS {
        writes += program(&mut state, u64::from(input) * 77);
        state.reset()?;
    }
    let each = begun.elapsed() / RUNS;
    assert!(state.iter().all(|byte| *byte == 7), "the state is what was prepared");
    println!("{RUNS} runs over {} MiB, {writes} writes: {each:.1?} a run", STATE >> 20);
    Ok(())
}
