//! Merging eight copies of 256 MiB of which a tenth changed, half of it by moving runs elsewhere.

use anyhow::Result;
use tine_bench::rounds::seconds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_memory::{Image, Merger, PAGE};

use super::Random;

const PAGES: usize = (256 << 20) / PAGE;
const COPIES: usize = 8;
/// Pages of a run that was changed or moved.
const RUN: usize = 8;

/// The copies, and how many of their pages have an equal one in another copy, at the same offset or
/// elsewhere.
struct Copies {
    images: Vec<Image>,
    same_offset: usize,
    displaced: usize,
    unique: usize,
}

pub fn run(table: &mut Table) -> Result<()> {
    let what = "merger, 8 copies of 256 MiB, 10 % changed";
    if !table.wants(what) {
        return Ok(());
    }
    let mut rates = Vec::new();
    let (mut same, mut displaced) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let copies = make_copies(round)?;
        let mut merger = Merger::new();
        copies.images.iter().for_each(|image| merger.add(image));
        let mut merged = None;
        let took = seconds(|| merged = Some(merger.scan()));
        let merged = merged.transpose()?.unwrap_or_default();
        rates.push((COPIES * PAGES * PAGE) as f64 / took);
        // All merged images are made of one pool, and each of them counts all its blocks.
        let stored = merged[0].stored_bytes()? as usize / PAGE;
        let unmerged = stored - copies.unique.min(stored);
        // What is stored beyond the distinct pages was not merged; blame either kind in full.
        same.push(1.0 - unmerged as f64 / copies.same_offset as f64);
        displaced.push(1.0 - unmerged as f64 / copies.displaced as f64);
    }
    let rows = [
        ("same-offset duplicates gone", Unit::Share, same, Bar::AtLeast(0.95)),
        ("displaced duplicates gone", Unit::Share, displaced, Bar::AtLeast(0.90)),
        ("scanned", Unit::BytesPerSecond, rates, Bar::AtLeast(500e6)),
    ];
    for (name, unit, samples, bar) in rows {
        table.row(&format!("{what}: {name}"), unit, &Samples::new(samples)).bar(bar);
    }
    Ok(())
}

fn make_copies(seed: usize) -> Result<Copies> {
    let mut random = Random(seed as u64 + 3);
    let mut stamp = 0_u64;
    let mut fresh = |page: &mut [u8]| {
        stamp += 1;
        page.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&stamp.to_le_bytes()));
    };
    let mut base = vec![0; PAGES * PAGE];
    base.chunks_exact_mut(PAGE).for_each(&mut fresh);
    let (mut same_offset, mut displaced, mut unique) = (0, 0, PAGES);
    let mut images = vec![Image::from_bytes(&base)?];
    for _ in 1..COPIES {
        let mut copy = base.clone();
        let mut kind = vec![0_u8; PAGES];
        for change in 0..PAGES / 10 / RUN {
            let at = random.below(PAGES / RUN) * RUN;
            let run = at * PAGE..(at + RUN) * PAGE;
            if change % 2 == 0 {
                copy[run].chunks_exact_mut(PAGE).for_each(&mut fresh);
                kind[at..at + RUN].fill(1);
            } else {
                let from = random.below(PAGES - RUN);
                copy[run].copy_from_slice(&base[from * PAGE..(from + RUN) * PAGE]);
                kind[at..at + RUN].fill(2);
            }
        }
        same_offset += kind.iter().filter(|kind| **kind == 0).count();
        unique += kind.iter().filter(|kind| **kind == 1).count();
        displaced += kind.iter().filter(|kind| **kind == 2).count();
        images.push(Image::from_bytes(&copy)?);
    }
    Ok(Copies { images, same_offset, displaced, unique })
}
