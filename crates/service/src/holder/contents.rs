//! What changed, with the contents of both sides, for a patch.

use std::fs::File;
use std::io::{BufWriter, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tine_fs::{Attr, Kind, NameChange, View};
use xxhash_rust::xxh3::Xxh3;

use crate::holder::call::{Call, Execute};
use crate::holder::changes::{file_kind, is_below, sides, told};
use crate::protocol::changes::{ChangedName, Content, ReadChanges, Side};
use crate::protocol::{Code, Error, Result};

/// The largest file that is compared line by line.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Bytes at the beginning of a file in which a NUL says that it is no text, as git looks for it.
const LOOKED_AT_BYTES: usize = 8 << 10;
/// The largest file that is read for its digest.
const DIGEST_BYTES_MAX: u64 = 16 << 30;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

impl Execute for ReadChanges {
    fn execute(self, call: &mut Call<'_>) -> Result<u64> {
        let to = File::from(call.descriptor()?);
        let [before, after] = sides(&call.context.store, &self.name, self.other.as_deref())?;
        let changes = tine_fs::diff_names(&before, &after)?;
        let views = [View::new(&before)?, View::new(&after)?];
        let to = BufWriter::new(to);
        let mut sender = Sender { views, to, digests: self.digests };
        let mut count = 0;
        for change in changes {
            if is_below(&change.change, &self.paths) {
                sender.send(change)?;
                count += 1;
            }
        }
        sender.to.flush().map_err(handed_on)?;
        Ok(count)
    }
}

struct Sender<'a> {
    views: [View<'a>; 2],
    to: BufWriter<File>,
    digests: bool,
}

impl Sender<'_> {
    fn send(&mut self, change: NameChange) -> Result<()> {
        let attrs = [change.before, change.after];
        let contents = self.contents(&change)?;
        let side = |at: usize| {
            attrs[at].map(|attr| Side {
                kind: file_kind(attr.kind),
                mode: attr.mode,
                bytes: attr.size,
                content: contents[at].as_ref().map_or(Content::None, Read::told),
            })
        };
        let (before, after) = (side(0), side(1));
        let changed = ChangedName { change: told(change.change), before, after };
        let json = serde_json::to_vec(&changed)
            .map_err(|error| Error::new(Code::Io, format!("cannot write a change: {error}")))?;
        let length = u32::try_from(json.len())
            .map_err(|_| Error::new(Code::Io, "a change is too long to be told"))?;
        let texts = contents.iter().flatten().filter_map(Read::text);
        let length = length.to_le_bytes();
        for part in [&length[..], &json].into_iter().chain(texts) {
            self.to.write_all(part).map_err(handed_on)?;
        }
        Ok(())
    }

    /// What is read of both sides.
    fn contents(&self, change: &NameChange) -> Result<[Option<Read>; 2]> {
        let attrs = [change.before, change.after];
        let sized = attrs.map(|attr| attr.map_or(0, |attr| attr.size));
        let is_same = match change.change.change {
            tine_fs::Change::Metadata => true,
            // The target of a link is none of the bytes that are counted.
            tine_fs::Change::Renamed { .. } => {
                change.change.kind == Kind::File && change.change.bytes == 0 && sized[0] == sized[1]
            }
            _ => false,
        };
        if is_same {
            return Ok(attrs.map(|attr| attr.map(|_| Read::Same)));
        }
        let too_large = sized.iter().any(|bytes| *bytes > TEXT_BYTES_MAX);
        if !too_large {
            let texts = [self.text(0, attrs[0])?, self.text(1, attrs[1])?];
            let is_text = |text: &Option<Vec<u8>>| {
                let start = text.as_deref().unwrap_or_default();
                !start[..start.len().min(LOOKED_AT_BYTES)].contains(&0)
            };
            if texts.iter().all(is_text) {
                return Ok(texts.map(|text| text.map(Read::Text)));
            }
        }
        let digest = |at: usize| {
            let Some(file) = attrs[at].filter(|attr| attr.kind == Kind::File) else {
                return Ok(None);
            };
            let is_read = self.digests && file.size <= DIGEST_BYTES_MAX;
            let xxh3 = is_read.then(|| self.digest(at, &file)).transpose()?;
            Ok::<_, Error>(Some(Read::Binary { xxh3, too_large }))
        };
        Ok([digest(0)?, digest(1)?])
    }

    /// The bytes of a file or the target of a link; `None` of what has neither.
    fn text(&self, side: usize, attr: Option<Attr>) -> Result<Option<Vec<u8>>> {
        match attr {
            Some(attr) if attr.kind == Kind::Symlink => Ok(Some(self.views[side].target(&attr)?)),
            Some(attr) if attr.kind == Kind::File => {
                let mut bytes = vec![0; usize::try_from(attr.size).unwrap_or(usize::MAX)];
                let count = self.views[side].read(&attr, 0, &mut bytes)?;
                bytes.truncate(count);
                Ok(Some(bytes))
            }
            _ => Ok(None),
        }
    }

    fn digest(&self, side: usize, attr: &Attr) -> Result<String> {
        let mut hash = Xxh3::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        loop {
            let count = self.views[side].read(attr, offset, &mut chunk)?;
            if count == 0 {
                return Ok(format!("{:032x}", hash.digest128()));
            }
            hash.update(&chunk[..count]);
            offset += count as u64;
            // A large file takes long, and no byte of it is written into the pipe.
            if is_abandoned(self.to.get_ref()) {
                return Err(handed_on(std::io::ErrorKind::BrokenPipe.into()));
            }
        }
    }
}

/// What was read of a file.
enum Read {
    Text(Vec<u8>),
    Binary { xxh3: Option<String>, too_large: bool },
    Same,
}

impl Read {
    fn told(&self) -> Content {
        match self {
            Read::Text(_) => Content::Text,
            Read::Binary { xxh3, too_large } => {
                Content::Binary { xxh3: xxh3.clone(), too_large: *too_large }
            }
            Read::Same => Content::Same,
        }
    }

    fn text(&self) -> Option<&[u8]> {
        match self {
            Read::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Returns `true` if no process reads from the pipe any more.
fn is_abandoned(pipe: &File) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&now)), Ok(1..)) && fds[0].revents().contains(PollFlags::ERR)
}

fn handed_on(error: std::io::Error) -> Error {
    Error::io("cannot hand on the changes", error)
}
