//! An array of 10 GiB, forked a hundred times. Each fork changes something else.
//!
//! `cargo run --release -p tine-memory --example what_if`

use std::time::Instant;

use tine_memory::{RegionSlice, Result};

const VALUES: usize = (10 << 30) / size_of::<f64>();
const FORKS: usize = 100;

fn main() -> Result<()> {
    let mut array = RegionSlice::<f64>::zeroed(VALUES)?;
    for at in (0..VALUES).step_by(VALUES / 10_000) {
        array[at] = at as f64;
    }
    let begun = Instant::now();
    let mut futures = (0..FORKS).map(|_| array.fork()).collect::<Result<Vec<_>>>()?;
    println!("{FORKS} forks of 10 GiB: {:.1?} each", begun.elapsed() / FORKS as u32);
    for (number, future) in futures.iter_mut().enumerate() {
        (0..100).for_each(|step| future[step * 1_000_003] = number as f64);
    }
    assert_eq!((futures[7][1_000_003], futures[8][1_000_003], array[1_000_003]), (7.0, 8.0, 0.0));
    let usage = futures[7].region().usage()?;
    println!("a fork's own pages: {} KiB of {} GiB", usage.exclusive >> 10, usage.total >> 30);
    Ok(())
}
