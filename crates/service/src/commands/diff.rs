//! What changed in a branch, or from one branch to another, with what the mounts of both sides
//! still keep.

use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;

use crate::client::{Access, Client};
use crate::commands::flush::flush;
use crate::patch::{Section, section};
use crate::protocol::changes::{
    Change, ChangedName, Content, Diff, ReadChanges, Scope, Scoped, Side,
};
use crate::protocol::{Error, RawBytes, Result};

/// What is compared.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The branch.
    pub name: String,
    /// The first of them is another branch, if there is one of that name; all others are paths.
    pub words: Vec<OsString>,
    /// Paths alone: the changes are told of these, and of what lies below them. A relative one
    /// starts at the current directory where that is below the directory that the branch was
    /// imported from or is mounted on, and otherwise at the root of the branch.
    pub paths: Vec<OsString>,
    /// Whether a person may read what is told, and take any time for it. Then the holder has the
    /// store open meanwhile, and other commands go on.
    pub is_read_slowly: bool,
}

/// A comparison whose sides are there.
pub struct Prepared {
    access: Access,
    name: String,
    other: Option<String>,
    paths: Vec<RawBytes>,
    /// Paths that were named and that neither side has.
    pub absent: Vec<RawBytes>,
}

/// Flushes the mounts of both sides, and finds out what the words mean.
///
/// # Errors
/// `branch-not-found`, also for a word that is neither a branch nor a path; `unsupported` for a
/// branch that has no fork point to be compared with; `usage` for a path that leads out.
pub fn prepare(client: &Client, of: Comparison) -> Result<Prepared> {
    let Comparison { name, words, paths, is_read_slowly } = of;
    let mut access = match is_read_slowly {
        true => client.hold_to_read()?,
        false => client.reach_to_read()?,
    };
    flush(&mut access, &name)?;
    let raw = |words: Vec<OsString>| {
        words.into_iter().map(|word| RawBytes(word.into_encoded_bytes())).collect()
    };
    let here = std::env::current_dir().ok();
    let here = here.map(|here| RawBytes(here.into_os_string().into_encoded_bytes()));
    let scope = Scope { name, words: raw(words), paths: raw(paths), here };
    let Scoped { name, other, paths, absent } = access.ask(scope)?;
    if let Some(other) = &other {
        flush(&mut access, other)?;
    }
    Ok(Prepared { access, name, other, paths, absent })
}

impl Prepared {
    /// The changes, sorted by path.
    ///
    /// # Errors
    /// Those of reading the store, and of a side that is gone by now.
    pub fn changes(self) -> Result<Vec<Change>> {
        let Prepared { mut access, name, other, paths, .. } = self;
        let changes = access.ask(Diff { name, other, paths })?;
        access.leave()?;
        Ok(changes)
    }

    /// Compares name by name, and calls `each` with what a patch says of each. With `digests`,
    /// files that are no text are read for theirs. A reader that has seen enough (a broken pipe
    /// in `each`) is no failure.
    ///
    /// # Errors
    /// As [`Prepared::changes`], and those of `each`.
    pub fn sections(
        self,
        digests: bool,
        each: &mut (impl FnMut(&ChangedName, Section) -> io::Result<()> + Send),
    ) -> Result<()> {
        let Prepared { mut access, name, other, paths, .. } = self;
        let (from, into) = io::pipe().map_err(|error| Error::io("cannot make a pipe", error))?;
        let ask = ReadChanges { name, other, paths, digests };
        let (answer, read) = std::thread::scope(|scope| {
            let reader = scope.spawn(move || read_all(BufReader::new(from), each));
            let answer = access.ask_with(ask, &[into.as_fd()]);
            drop(into);
            (answer, reader.join())
        });
        match read.unwrap_or_else(|_| Err(io::Error::other("the reader failed"))) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                // The error that ended it is the one to tell.
                answer?;
                return Err(Error::io("cannot read the changes", error));
            }
            Err(error) => return Err(Error::io("cannot write the changes", error)),
            Ok(()) => drop(answer?),
        }
        access.leave()
    }
}

fn read_all(
    mut from: impl Read,
    each: &mut impl FnMut(&ChangedName, Section) -> io::Result<()>,
) -> io::Result<()> {
    let mut length = [0; 4];
    // At the end of the last change, and nowhere else.
    while from.read(&mut length[..1])? == 1 {
        from.read_exact(&mut length[1..])?;
        let json = take(&mut from, u32::from_le_bytes(length).into())?;
        let changed: ChangedName = serde_json::from_slice(&json)?;
        let before = text(&mut from, changed.before.as_ref())?;
        let after = text(&mut from, changed.after.as_ref())?;
        each(&changed, section(&changed, &before, &after))?;
    }
    Ok(())
}

fn text(from: &mut impl Read, side: Option<&Side>) -> io::Result<Vec<u8>> {
    match side {
        Some(side) if side.content == Content::Text => take(from, side.bytes),
        _ => Ok(Vec::new()),
    }
}

fn take(from: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    // Grows as bytes arrive: nothing is allocated for a length alone.
    let mut taken = Vec::new();
    from.take(bytes).read_to_end(&mut taken)?;
    match taken.len() as u64 == bytes {
        true => Ok(taken),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
