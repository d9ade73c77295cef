//! Texts compared with ropey: filling in the middle, reading, and writing to a fork.

use anyhow::Result;
use ropey::Rope;
use std::hint::black_box;
use tine_bench::table::{Bar, Table};
use tine_values::Text;

use super::{LARGE, Measure, compare, places, timed};

const PIECE: &str = "tine";

pub fn run(table: &mut Table) -> Result<()> {
    let rows = ["Text random insert", "Text iterate", "Text clone + one write"];
    if !rows.iter().any(|row| table.wants(row)) {
        return Ok(());
    }
    let letters: String =
        places(LARGE, 26).into_iter().map(|at| char::from(b'a' + at as u8)).collect();
    let (ours, ropey) = (Text::from(letters.as_str()), Rope::from_str(&letters));
    let at = places(20_000, LARGE);
    let contestants: [[(&str, Measure<'_>); 2]; 3] = [
        [
            ("ours", Box::new(|| insert(&ours, &at, Text::insert_str))),
            ("ropey", Box::new(|| insert(&ropey, &at, Rope::insert))),
        ],
        [
            ("ours", Box::new(|| timed(LARGE, || sum(ours.chunks())))),
            ("ropey", Box::new(|| timed(LARGE, || sum(ropey.chunks())))),
        ],
        [
            ("ours", Box::new(|| fork(&ours, &at, Text::insert_str))),
            ("ropey", Box::new(|| fork(&ropey, &at, Rope::insert))),
        ],
    ];
    for (row, contestants) in rows.into_iter().zip(contestants) {
        if table.wants(row) {
            compare(table, row, Bar::Printed, contestants.into())?;
        }
    }
    Ok(())
}

fn insert<T: Clone>(text: &T, at: &[usize], put: impl Fn(&mut T, usize, &str)) -> f64 {
    let mut text = text.clone();
    timed(at.len(), || at.iter().for_each(|at| put(&mut text, *at, PIECE)))
}

fn sum<'a>(chunks: impl Iterator<Item = &'a str>) -> u64 {
    chunks.map(|chunk| chunk.bytes().map(u64::from).sum::<u64>()).sum()
}

fn fork<T: Clone>(text: &T, at: &[usize], put: impl Fn(&mut T, usize, &str)) -> f64 {
    timed(at.len(), || {
        for at in at {
            let mut fork = text.clone();
            put(&mut fork, *at, PIECE);
            black_box(&fork);
        }
    })
}
