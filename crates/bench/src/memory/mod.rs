//! The area `memory`: forks of memory compared with `fork(2)`, `memcpy`, `mmap` by hand and
//! `Vec::clone`.
//!
//! Pages that a virtual machine has never touched cost several times as much as recycled ones, so
//! the run begins by touching as much memory as it will use.

mod footprint;
mod forks;
mod incremental;
mod load;
mod merging;
mod peers;
mod resets;
mod snapshots;
mod writes;

use anyhow::Result;
use tine_bench::table::Table;
use tine_memory::{Image, PAGE, Probe, Region};

/// The size of the regions that are forked.
const GIB: usize = 1 << 30;
const PAGES: usize = GIB / PAGE;

/// Measures the rows of this area.
pub fn run(table: &mut Table) -> Result<()> {
    table.note(&format!("{}", Probe::new()));
    touch_memory()?;
    forks::run(table)?;
    writes::run(table)?;
    resets::run(table)?;
    snapshots::run(table)?;
    incremental::run(table)?;
    footprint::run(table)?;
    merging::run(table)
}

/// Makes the machine provide memory, and gives it back to the kernel.
fn touch_memory() -> Result<()> {
    let mut memory = Region::zeroed(5 * GIB)?;
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    Ok(())
}

/// Reads a byte of every page.
fn read_all(bytes: &[u8]) {
    bytes.iter().step_by(PAGE).for_each(|byte| {
        std::hint::black_box(*byte);
    });
}

/// An image of a gibibyte with something in every page.
fn gibibyte() -> Result<Image> {
    let fill = |bytes: &mut [u8]| bytes.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    Ok(Image::builder(GIB)?.fill(fill)?.seal()?)
}

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

/// Draws ranks below `n` with Zipf's distribution of exponent 0.99 (Gray et al. 1994, as in YCSB),
/// scattered over the numbers below `n`.
struct Zipf {
    n: f64,
    zeta: f64,
    eta: f64,
    alpha: f64,
}

impl Zipf {
    fn new(n: usize) -> Self {
        const THETA: f64 = 0.99;
        let zeta = |n: usize| (1..=n).map(|rank| (rank as f64).powf(-THETA)).sum::<f64>();
        let (zeta_two, zeta) = (zeta(2), zeta(n));
        let eta = (1.0 - (2.0 / n as f64).powf(1.0 - THETA)) / (1.0 - zeta_two / zeta);
        Self { n: n as f64, zeta, eta, alpha: 1.0 / (1.0 - THETA) }
    }

    fn draw(&self, random: &mut Random) -> usize {
        let u = random.below(1 << 30) as f64 / f64::from(1 << 30);
        let rank = match u * self.zeta {
            low if low < 1.0 => 0.0,
            low if low < 1.0 + 0.5_f64.powf(0.99) => 1.0,
            _ => self.n * (self.eta * u - self.eta + 1.0).powf(self.alpha),
        };
        // Multiplying by an odd number scatters neighbours in rank.
        (rank as usize).wrapping_mul(0x9E37_79B1) % self.n as usize
    }
}
