//! Four worker processes over one dataset of a gibibyte, of which there is one copy.
//!
//! `cargo run --release -p tine-memory --example workers`

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use tine_memory::{Image, PAGE};

const BYTES: usize = 1 << 30;
const WORKERS: usize = 4;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Receives the image from the standard input, which is a socket, and works on a fork.
fn work() -> Fallible<()> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut data = Image::receive(&socket)?.fork()?;
    let sum: u64 = data.iter().step_by(PAGE).map(|byte| u64::from(*byte)).sum();
    data[0] = 99; // Nobody else sees it.
    (&socket).write_all(&sum.to_le_bytes())?;
    (&socket).read_exact(&mut [0])?;
    Ok(())
}

fn proportional_kib(worker: &Child) -> Fallible<usize> {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", worker.id()))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn main() -> Fallible<()> {
    if std::env::args().nth(1).as_deref() == Some("worker") {
        return work();
    }
    let image = Image::builder(BYTES)?.fill(|bytes| bytes.fill(1))?.seal()?;
    image.collapse().or_else(|error| {
        println!("without huge pages: {error}");
        Ok::<_, tine_memory::Error>(())
    })?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (here, there) = UnixStream::pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker").stdin(Stdio::from(OwnedFd::from(there)));
        let worker = command.spawn()?;
        image.send(&here)?;
        let mut sum = [0; 8];
        (&here).read_exact(&mut sum)?;
        assert_eq!(u64::from_le_bytes(sum), (BYTES / PAGE) as u64);
        workers.push((worker, here));
    }
    let mut total = 0;
    for (worker, _) in &workers {
        let kib = proportional_kib(worker)?;
        println!("worker {}: {} MiB of its own by proportion", worker.id(), kib >> 10);
        total += kib;
    }
    println!("{WORKERS} workers over {} MiB: {} MiB in all", BYTES >> 20, total >> 10);
    assert!(total < (BYTES >> 10) * 11 / 10, "there is more than one copy");
    for (mut worker, socket) in workers {
        (&socket).write_all(&[0])?;
        worker.wait()?;
    }
    Ok(())
}
