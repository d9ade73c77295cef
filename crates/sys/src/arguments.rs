//! The arguments of this process, which every user of the machine can read.
//!
//! Linux reads them from the memory of the process, so what is overwritten there disappears from
//! the list of processes. Between the start of the process and the overwriting they can be read.

use std::fs;
use std::io;
use std::ops::Range;
use std::ptr;

/// Fields of proc(5)'s `stat`: the count of threads, and where the arguments begin and end.
const THREADS: usize = 20;
const ARGUMENTS_START: usize = 48;
const ARGUMENTS_END: usize = 49;

/// Overwrites the parts `secrets` of every argument that equals `argument`.
///
/// # Errors
/// If the kernel does not say where the arguments are, or if the process has a second thread, which
/// could be reading them.
pub fn hide(argument: &[u8], secrets: &[Range<usize>]) -> io::Result<()> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let field = |number: usize| field(&stat, number).ok_or(io::ErrorKind::InvalidData);
    if field(THREADS)? != 1 {
        return Err(io::Error::other("the process has more than one thread"));
    }
    let (start, end) = (field(ARGUMENTS_START)?, field(ARGUMENTS_END)?);
    if start == 0 || end < start {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let text = fs::read("/proc/self/cmdline")?;
    if text.len() != end - start {
        return Err(io::ErrorKind::InvalidData.into());
    }
    for at in places(&text, argument, secrets) {
        let byte: *mut u8 = ptr::with_exposed_provenance_mut(start + at);
        // SAFETY: the kernel put the arguments at `start..end`, on the stack of the first thread,
        // where they stay mapped and writable for as long as the process lives. It has just read
        // all of them from there. `at` is less than their length. There is no other thread, so
        // nothing reads them meanwhile, and the standard library, which reads them anew at each
        // call, holds no reference.
        unsafe { byte.write_volatile(b'*') };
    }
    Ok(())
}

/// Where the secret bytes are in the text of all arguments, each of which ends with a zero.
fn places(text: &[u8], argument: &[u8], secrets: &[Range<usize>]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut start = 0;
    for word in text.split(|byte| *byte == 0) {
        if word == argument {
            let inside = secrets.iter().cloned().flatten().filter(|at| *at < word.len());
            found.extend(inside.map(|at| start + at));
        }
        start += word.len() + 1;
    }
    found
}

/// The field of a number. The second field, in parentheses, may hold anything.
fn field(stat: &str, number: usize) -> Option<usize> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_parts_of_equal_arguments_are_found() {
        let text = b"tine\0a:secret@b\0--json\0a:secret@b\0a:secret\0";
        let found = places(text, b"a:secret@b", std::slice::from_ref(&(2..8)));
        assert_eq!(found, (7..13).chain(25..31).collect::<Vec<_>>());
        assert_eq!(places(text, b"tine", std::slice::from_ref(&(0..90))), [0, 1, 2, 3]);
        assert!(places(text, b"not there", std::slice::from_ref(&(0..3))).is_empty());
    }

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "1 (a ) b) S 2 3 4";
        assert_eq!((field(stat, 4), field(stat, 6), field(stat, 7)), (Some(2), Some(4), None));
    }

    #[test]
    fn a_process_with_other_threads_is_left_as_it_is() {
        // The test harness has them.
        assert!(hide(b"x", &[]).is_err());
    }
}
