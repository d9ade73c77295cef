//! The content of a regular file, made equal to that of a file of the host: what is equal keeps
//! its place in the store.

use std::os::fd::OwnedFd;

use tine_fs::{Fallocate, Fs, Ino, SetAttr};

use crate::copy::file_errors::FileError;
use crate::copy::throttle::Throttle;
use crate::copy::{BLOCK_BYTES, host};

/// Makes the content of `ino` the first `size` bytes of `file`. Every piece that is read is passed
/// to `each`.
pub fn update(
    fs: &Fs,
    ino: Ino,
    file: &OwnedFd,
    size: u64,
    throttle: Throttle<'_>,
    each: &mut impl FnMut(u64, &[u8]) -> Result<(), FileError>,
) -> Result<(), FileError> {
    let before = fs.getattr(ino)?;
    let mut have = Vec::new();
    let mut done = 0;
    host::read_data(file, size, throttle, |offset, bytes| {
        each(offset, bytes)?;
        clear(fs, ino, done, offset.min(before.size))?;
        done = offset + bytes.len() as u64;
        have.resize(bytes.len(), 0);
        let had = match offset < before.size {
            true => fs.read(ino, offset, &mut have)?,
            false => 0,
        };
        write_differing(fs, ino, offset, bytes, &have[..had])
    })?;
    clear(fs, ino, done, size.min(before.size))?;
    if fs.getattr(ino)?.size != size {
        fs.setattr(ino, &SetAttr { size: Some(size), ..SetAttr::default() })?;
    }
    Ok(())
}

/// Makes a hole.
fn clear(fs: &Fs, ino: Ino, from: u64, to: u64) -> Result<(), FileError> {
    if from < to {
        fs.fallocate(ino, Fallocate::PunchHole, from..to)?;
    }
    Ok(())
}

/// Writes the blocks that are not as the file has them.
fn write_differing(
    fs: &Fs,
    ino: Ino,
    offset: u64,
    bytes: &[u8],
    have: &[u8],
) -> Result<(), FileError> {
    let size = BLOCK_BYTES as usize;
    let differs = |at: usize| {
        let end = (at + size).min(bytes.len());
        have.get(at..end) != Some(&bytes[at..end])
    };
    let blocks: Vec<usize> = (0..bytes.len()).step_by(size).collect();
    for run in blocks.chunk_by(|a, b| differs(*a) == differs(*b)) {
        if differs(run[0]) {
            let range = run[0]..(run[run.len() - 1] + size).min(bytes.len());
            fs.write(ino, offset + range.start as u64, &bytes[range], false)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;
    use tine_fs::{Caller, NewRoot, ROOT};
    use tine_store::{MemoryDevice, Options, Store};

    use super::*;

    fn with_file(test: impl FnOnce(&Fs, Ino)) {
        let mut options = Options::default();
        options.background = false;
        let store = Store::create_on(std::sync::Arc::new(MemoryDevice::new()), &options).unwrap();
        let main = store.create_branch("main").unwrap();
        Fs::format(&main, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
        let fs = Fs::open(&store, main).unwrap();
        let caller = Caller { uid: 0, gid: 0, umask: 0 };
        let ino = fs.create(&caller, ROOT, b"file", 0o600).unwrap().ino;
        test(&fs, ino);
    }

    fn on_host(pieces: &[(u64, u8, usize)], size: u64) -> OwnedFd {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (block, byte, len) in pieces {
            let len = (*len as u64).min(size.saturating_sub(block * 4096)) as usize;
            file.write_all_at(&vec![*byte; len], block * 4096).unwrap();
        }
        file.into()
    }

    fn update_from(fs: &Fs, ino: Ino, file: &OwnedFd, size: u64) {
        let mut each = |_: u64, _: &[u8]| Ok(());
        update(fs, ino, file, size, Throttle(&|| false), &mut each).map_err(|_| ()).unwrap();
    }

    fn bytes(fs: &Fs, ino: Ino) -> Vec<u8> {
        let mut bytes = vec![0; fs.getattr(ino).unwrap().size as usize];
        fs.read(ino, 0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn equal_content_is_not_written_again() {
        with_file(|fs, ino| {
            let file = on_host(&[(0, 1, 9000), (10, 2, 5000)], 60_000);
            update_from(fs, ino, &file, 60_000);
            let before = fs.branch().read().unwrap();
            update_from(fs, ino, &file, 60_000);
            let after = fs.branch().read().unwrap();
            assert_eq!(tine_fs::diff(&before, &after).unwrap(), []);
            let one = on_host(&[(0, 1, 9000), (1, 3, 10), (10, 2, 5000)], 60_000);
            update_from(fs, ino, &one, 60_000);
            let changed = tine_fs::diff(&before, &fs.branch().read().unwrap()).unwrap();
            assert_eq!(changed.iter().map(|change| change.bytes).sum::<u64>(), 4096);
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn any_content_becomes_any_other(
            states in prop::collection::vec(
                (prop::collection::vec((0u64..40, 0u8..3, 1usize..20_000), 0..5), 0u64..150_000),
                1..4,
            )
        ) {
            with_file(|fs, ino| {
                for (pieces, size) in states {
                    let file = on_host(&pieces, size);
                    update_from(fs, ino, &file, size);
                    let mut wanted = vec![0; size as usize];
                    std::fs::File::from(file).read_exact_at(&mut wanted, 0).unwrap();
                    assert!(bytes(fs, ino) == wanted);
                    assert_eq!(tine_fs::check(&fs.branch().read().unwrap()).unwrap(), []);
                }
            });
        }
    }
}
