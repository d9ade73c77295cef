//! The decoders on hostile bytes: the fuzz targets' own functions, on their corpus and on random
//! changes of it.

mod oracle;

use oracle::Dice;
use std::path::{Path, PathBuf};
use tine_store::fuzzing;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// The inputs of a target, in order of their names.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let listed = std::fs::read_dir(corpus(target)).expect("the corpus is part of the repository");
    let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Random bytes changed, cut, doubled; numbers made extreme.
fn mutate(input: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 + dice.roll(4) {
        let at = dice.roll(bytes.len() as u64 + 1) as usize;
        let len = (1 + dice.roll(8) as usize).min(bytes.len() - at);
        match dice.roll(6) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.splice(at..at, (0..dice.roll(40)).map(|n| n as u8)).for_each(drop),
            2 => bytes[at..at + len].fill(0xFF),
            3 => bytes[at..at + len].fill(0),
            4 => drop(bytes.drain(at..at + len)),
            _ => bytes[at..at + len].iter_mut().for_each(|byte| *byte = dice.roll(256) as u8),
        }
    }
    bytes
}

fn run(target: &str, decode: fn(&[u8]), rounds: u64) {
    let inputs = inputs(target);
    assert!(!inputs.is_empty());
    let mut dice = Dice(17);
    for input in &inputs {
        decode(input);
        for _ in 0..rounds / inputs.len() as u64 {
            decode(&mutate(input, &mut dice));
        }
    }
}

#[test]
fn hostile_superblocks_are_values_or_errors() {
    run("superblock", fuzzing::superblock, 4000);
}

#[test]
fn hostile_nodes_are_nodes_or_errors() {
    run("node", fuzzing::node, 40_000);
}

#[test]
fn hostile_journals_are_replayed_or_refused() {
    run("journal", fuzzing::journal, 6000);
}

#[test]
#[ignore = "soak: a long run of hostile bytes through the decoders"]
fn many_hostile_bytes_are_values_or_errors() {
    run("superblock", fuzzing::superblock, 100_000);
    run("node", fuzzing::node, 2_000_000);
    run("journal", fuzzing::journal, 200_000);
}

#[test]
#[ignore = "writes the corpus anew"]
fn write_the_corpus() {
    for (number, (target, bytes)) in fuzzing::seeds().into_iter().enumerate() {
        std::fs::create_dir_all(corpus(target)).unwrap();
        std::fs::write(corpus(target).join(format!("small-{number:02}")), bytes).unwrap();
    }
}
