//! Forged trees, for tests and fuzzing: records that no call of this crate writes, under right
//! checksums.
//!
//! Anyone who makes a store can make such a tree. Each reader of it has to end, with an error where
//! the tree makes no sense, and no writer onto the host may leave its target because of it.

use std::sync::Arc;

use tine_store::{
    BLOCK_BYTES, Branch, MemoryDevice, Options, ReadTxn, Store, VALUE_BYTES_MAX, WriteTxn,
};

use crate::header::Header;
use crate::inode::{Inode, Link};
use crate::name_hash::{NameHash, Seed};
use crate::{Attr, FileOffset, Fs, Ino, Kind, NewRoot, ROOT, Result, Seek, bucket, key};

/// Writes records of a file tree as they are given.
pub struct RawTree<'b> {
    txn: WriteTxn<'b>,
    seed: Seed,
}

impl<'b> RawTree<'b> {
    /// Begins to write into a branch, which gets a tree if it has none.
    pub fn new(branch: &'b Branch) -> Result<RawTree<'b>> {
        if branch.read()?.get(key::HEADER)?.is_none() {
            Fs::format(branch, &NewRoot { mode: 0o755, uid: 0, gid: 0 })?;
        }
        let header = Header::read(branch)?;
        let txn = branch.write()?;
        Ok(RawTree { txn, seed: header.seed })
    }

    /// The link of a name in its bucket.
    fn link(&self, dir: Ino, name: &[u8]) -> Link {
        Link { parent: dir, position: bucket::position(self.seed.hash(name), 0) }
    }

    /// Writes an entry of a directory, under the right hash unless `astray`. It replaces what is in
    /// its bucket.
    pub fn entry(
        &mut self,
        dir: Ino,
        name: &[u8],
        ino: Ino,
        kind: Kind,
        astray: bool,
    ) -> Result<()> {
        let hash = NameHash(self.seed.hash(name).0 ^ u64::from(astray) << 9);
        let mut bytes = Vec::new();
        let name = &name[..name.len().min(255)];
        bucket::push(&mut bytes, &bucket::Entry { slot: 0, kind, ino, name });
        Ok(self.txn.put(&key::bucket(dir, hash), &bytes)?)
    }

    /// Writes an inode as `change` leaves it.
    pub fn inode(
        &mut self,
        ino: Ino,
        kind: Kind,
        home: Option<(Ino, &[u8])>,
        change: impl FnOnce(&mut Attr),
    ) -> Result<()> {
        let time = crate::Time { secs: 1_000_000_000, nanos: 5 };
        let mut attr = Attr {
            ino,
            size: 0,
            blocks_512: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            mode: 0o755,
            nlink: if kind == Kind::Directory { 2 } else { 1 },
            uid: 0,
            gid: 0,
            rdev: 0,
        };
        change(&mut attr);
        let home = home.map(|(dir, name)| self.link(dir, name));
        let inode = Inode { attr, home, capability: false };
        Ok(self.txn.put(&key::of(key::INODE, ino), &inode.encode())?)
    }

    /// Writes an inode and its entry, both sound but for what `change` does.
    pub fn make(
        &mut self,
        dir: Ino,
        name: &[u8],
        ino: Ino,
        kind: Kind,
        change: impl FnOnce(&mut Attr),
    ) -> Result<()> {
        self.inode(ino, kind, Some((dir, name)), change)?;
        self.entry(dir, name, ino, kind, false)
    }

    /// Writes the target of a symbolic link, in one chunk.
    pub fn target(&mut self, ino: Ino, target: &[u8]) -> Result<()> {
        let key = [&key::of(key::TARGET, ino)[..], &[0, 0]].concat();
        Ok(self.txn.put(&key, &target[..target.len().min(VALUE_BYTES_MAX)])?)
    }

    /// Writes one chunk of an extended attribute.
    pub fn xattr(&mut self, ino: Ino, name: &[u8], chunk: u16, value: &[u8]) -> Result<()> {
        let name = &name[..name.len().min(300)];
        let key = [&key::xattr(ino, name)[..], &chunk.to_be_bytes()].concat();
        Ok(self.txn.put(&key, &value[..value.len().min(VALUE_BYTES_MAX)])?)
    }

    /// Writes any bytes under any key.
    pub fn raw(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.txn.put(key, value)?)
    }

    /// Writes a block of data.
    pub fn data(&mut self, branch: &Branch, ino: Ino, block: u64, byte: u8) -> Result<()> {
        let staged = branch.stage(&[byte; BLOCK_BYTES])?;
        Ok(self.txn.map(&key::of(key::DATA, ino), block.min(1 << 50), staged)?)
    }

    /// Commits what was written.
    pub fn commit(self) -> Result<()> {
        Ok(self.txn.commit()?)
    }
}

/// Names that an attacker would try.
const NAMES: [&[u8]; 12] = [
    b"a",
    b"b",
    b"../x",
    b"/x",
    b".",
    b"..",
    b"",
    b"a/b",
    b"nul\0nul",
    b"\xff\xfe",
    b"line\nline",
    b"../../etc/x",
];
/// Targets and values that an attacker would try.
const WORDS: [&[u8]; 6] = [b"..", b"/etc", b"../../..", b"", b"a\0b", b"a"];
const XATTRS: [&[u8]; 6] =
    [b"user.a", b"security.capability", b"system.posix_acl_access", b"", b"trusted.x", b"weird"];

/// Builds a tree from bytes, whatever that gives.
pub fn tree(branch: &Branch, data: &[u8]) -> Result<()> {
    let mut tree = RawTree::new(branch)?;
    let pick = |list: &[&'static [u8]], byte: u8| list[usize::from(byte) % list.len()];
    for step in data.chunks_exact(6).take(400) {
        let [what, dir, ino, word, kind, odd] = *step else { continue };
        // A few numbers, so that they meet.
        let number = |low: u8| Ino::new(ROOT.get() + u64::from(low));
        let (dir, ino) = (number(dir % 6), number(ino % 8));
        let kind = crate::inode::kind(kind % 9).unwrap_or(Kind::Directory);
        let name = pick(&NAMES, word);
        match what % 8 {
            0 | 1 => tree.make(dir, name, ino, kind, |attr| spoil(attr, odd))?,
            2 => tree.entry(dir, name, ino, kind, odd & 1 == 1)?,
            3 => tree.inode(ino, kind, Some((dir, name)), |attr| spoil(attr, odd))?,
            4 => tree.target(ino, pick(&WORDS, word))?,
            5 => tree.xattr(ino, pick(&XATTRS, word), u16::from(odd % 3), pick(&WORDS, odd))?,
            6 => tree.data(branch, ino, u64::from(odd) << (word % 50), word)?,
            _ => tree.raw(&step[1..usize::from(odd % 6) + 1], &step[..3])?,
        }
    }
    tree.commit()
}

fn spoil(attr: &mut Attr, how: u8) {
    match how % 16 {
        0 => attr.size = u64::MAX,
        1 => attr.size = 1 << 62,
        2 => attr.mode = 0o6777,
        3 => attr.nlink = 0,
        4 => attr.nlink = u32::MAX,
        5 => attr.uid = u32::MAX,
        6 => attr.mtime.nanos = 0x3fff_ffff,
        7 => attr.rdev = 0x0103,
        8 => attr.blocks_512 = u64::MAX,
        9 => attr.nlink = 2,
        10 => attr.mtime.secs = i64::MIN,
        _ => attr.size = u64::from(how),
    }
}

/// Builds a tree from bytes in a fork of a sound one, in memory, and reads everything in it.
pub fn fuzz(data: &[u8]) {
    let device = Arc::new(MemoryDevice::new());
    let mut options = Options::default();
    options.background = false;
    let forked = || -> Result<(Store, Branch)> {
        let store = Store::create_on(device, &options)?;
        let main = store.create_branch("main")?;
        Fs::format(&main, &NewRoot { mode: 0o755, uid: 0, gid: 0 })?;
        let fork = store.fork("main", "fork")?;
        Ok((store, fork))
    };
    let Ok((store, fork)) = forked() else { return };
    if tree(&fork, data).is_ok() {
        // An error is a valid outcome.
        let _ = look(&store, fork);
    }
}

/// Reads everything in a forged tree, and changes some of it: each call ends, and none panics.
pub fn look(store: &Store, branch: Branch) -> Result<()> {
    let txn: ReadTxn = branch.read()?;
    let _ = crate::check(&txn);
    if let Some(base) = branch.fork_point()? {
        let _ = crate::diff(&base, &txn);
        let _ = crate::diff(&txn, &base);
    }
    let fs = Fs::open(store, branch)?;
    let mut left = vec![ROOT];
    // Ends, since every directory has one place and the tree is small.
    while let Some(ino) = left.pop() {
        let mut found = Vec::new();
        let listed = fs.readdir_plus(ino, 0, &mut |entry, attr| {
            if entry.name != b"." && entry.name != b".." {
                found.push((entry.name.to_vec(), *attr));
            }
            true
        });
        if listed.is_err() {
            continue;
        }
        for (name, attr) in found {
            assert!(crate::name::check_name(&name).is_ok(), "a name out of rule is shown");
            let _ = fs.lookup(ino, &name);
            one(&fs, &attr);
            if attr.kind == Kind::Directory {
                left.push(attr.ino);
            }
        }
    }
    let number = |low: u64| Ino::new(ROOT.get() + low);
    let start = |ino| FileOffset { ino, offset: 0 };
    for ino in (0..9).map(number) {
        let _ = fs.lookup(ino, b"..");
        let _ = fs.rename(ino, b"a", ROOT, b"new", crate::RenameMode::Replace);
        let _ = fs.unlink(ino, b"b");
        let _ = fs.rmdir(ino, b"b");
        let _ = fs.write(ino, 5, b"bytes", false);
        let _ = fs.copy_range(start(ino), start(number(1)), 1 << 20);
        let _ = fs.setattr(ino, &crate::SetAttr { size: Some(3), ..Default::default() });
    }
    Ok(())
}

fn one(fs: &Fs, attr: &Attr) {
    let _ = fs.readlink(attr.ino);
    for name in fs.listxattr(attr.ino).unwrap_or_default() {
        let _ = fs.getxattr(attr.ino, &name);
    }
    let mut offset = 0;
    while let Ok(data) = fs.seek(attr.ino, offset, Seek::Data) {
        let _ = fs.read(attr.ino, data, &mut [0; 8192]);
        match fs.seek(attr.ino, data, Seek::Hole) {
            Ok(hole) if hole > data => offset = hole,
            _ => break,
        }
    }
}
