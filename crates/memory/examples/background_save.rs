//! A key-value map in memory that is saved in the background while clients write to it.
//!
//! `cargo run --release -p tine-memory --example background_save`

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tine_memory::{Region, Result, Shard, SharedRegion};

const CLIENTS: usize = 4;
const SLOTS: usize = 1 << 20;
const SLOT: usize = 64;

/// Open addressing: each slot holds a key (0 for none) and a value.
fn put(table: &mut [u8], key: u64, value: u64) {
    let slots = table.len() / SLOT;
    let mut at = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize % slots;
    loop {
        let slot = &mut table[at * SLOT..][..16];
        if slot[..8] == [0; 8] || slot[..8] == key.to_le_bytes() {
            slot[..8].copy_from_slice(&key.to_le_bytes());
            slot[8..].copy_from_slice(&value.to_le_bytes());
            return;
        }
        at = (at + 1) % slots;
    }
}

fn client(mut shard: Shard, stop: &AtomicBool, puts: &AtomicU64) -> Duration {
    let (mut longest, mut key) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        key = key % (SLOTS as u64 / 2) + 1;
        let begun = Instant::now();
        put(&mut shard.guard(), key, begun.elapsed().as_nanos() as u64);
        longest = longest.max(begun.elapsed());
        puts.fetch_add(1, Ordering::Relaxed);
    }
    longest
}

fn main() -> Result<()> {
    let (shared, shards) = SharedRegion::new(Region::zeroed(CLIENTS * SLOTS * SLOT)?, CLIENTS)?;
    let (stop, puts) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            shards.into_iter().map(|shard| scope.spawn(|| client(shard, &stop, &puts))).collect();
        for round in 1..=5 {
            std::thread::sleep(Duration::from_millis(200));
            let (before, begun) = (puts.load(Ordering::Relaxed), Instant::now());
            let snapshot = shared.snapshot()?;
            let pause = snapshot.pause();
            let mut saved = Vec::with_capacity(shared.len());
            snapshot.write_to(&mut saved)?;
            let during = puts.load(Ordering::Relaxed) - before;
            let took = begun.elapsed();
            println!(
                "save {round}: {} MiB in {took:.0?}, pause {pause:.0?}, {during} puts meanwhile",
                saved.len() >> 20
            );
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            if let Ok(longest) = client.join() {
                println!("longest put of a client: {longest:.0?}");
            }
        }
        Ok(())
    })
}
