//! Operations on both trees at once, and the comparison of all that is there afterwards.

use proptest::prelude::*;
use tine_fs::{Fallocate, FileOffset, Fs, Ino, Kind, ROOT, RenameMode, Seek, SetAttr, XattrMode};

use super::{Content, Model};
use crate::tree::ME;

/// Operations name files by small numbers: of a directory and a name, or of a file that is there.
#[derive(Clone, Debug)]
pub enum Op {
    Create(u8, u8),
    Tmpfile(u8),
    Mkdir(u8, u8),
    Symlink(u8, u8, u16),
    Link(u8, u8, u8),
    Unlink(u8, u8),
    Rmdir(u8, u8),
    Rename(u8, u8, u8, u8, RenameMode),
    Open(u8),
    Release(u8),
    Write(u8, u32, u16, u8),
    Truncate(u8, u32),
    Fallocate(u8, Fallocate, u32, u32),
    Copy(u8, u32, u8, u32, u32),
    Xattr(u8, u8, u32),
    Unxattr(u8, u8),
    Fork,
    Reopen,
}

fn offset() -> impl Strategy<Value = u32> {
    prop_oneof![0..20_000u32, (0..12u32).prop_map(|block| block * 4096)]
}

pub fn op() -> impl Strategy<Value = Op> {
    let (d, n, f) = (0..6u8, 0..8u8, any::<u8>());
    let rename = prop_oneof![
        Just(RenameMode::Replace),
        Just(RenameMode::NoReplace),
        Just(RenameMode::Exchange)
    ];
    let fallocate = prop_oneof![
        any::<bool>().prop_map(|keep_size| Fallocate::Allocate { keep_size }),
        Just(Fallocate::PunchHole),
        any::<bool>().prop_map(|keep_size| Fallocate::ZeroRange { keep_size }),
    ];
    prop_oneof![
        6 => (d.clone(), n.clone()).prop_map(|(d, n)| Op::Create(d, n)),
        1 => d.clone().prop_map(Op::Tmpfile),
        4 => (d.clone(), n.clone()).prop_map(|(d, n)| Op::Mkdir(d, n)),
        1 => (d.clone(), n.clone(), 1..4200u16).prop_map(|(d, n, len)| Op::Symlink(d, n, len)),
        3 => (f, d.clone(), n.clone()).prop_map(|(f, d, n)| Op::Link(f, d, n)),
        3 => (d.clone(), n.clone()).prop_map(|(d, n)| Op::Unlink(d, n)),
        2 => (d.clone(), n.clone()).prop_map(|(d, n)| Op::Rmdir(d, n)),
        6 => (d.clone(), n.clone(), d, n, rename)
            .prop_map(|(d, n, d2, n2, mode)| Op::Rename(d, n, d2, n2, mode)),
        2 => f.prop_map(Op::Open),
        2 => f.prop_map(Op::Release),
        8 => (f, offset(), 1..9000u16, any::<u8>())
            .prop_map(|(f, at, len, fill)| Op::Write(f, at, len, fill)),
        3 => (f, offset()).prop_map(|(f, size)| Op::Truncate(f, size)),
        4 => (f, fallocate, offset(), offset())
            .prop_map(|(f, what, at, len)| Op::Fallocate(f, what, at, len)),
        4 => (f, offset(), f, offset(), offset())
            .prop_map(|(f, at, g, to, len)| Op::Copy(f, at, g, to, len)),
        2 => (f, 0..4u8, 0..70_000u32).prop_map(|(f, n, len)| Op::Xattr(f, n, len)),
        1 => (f, 0..4u8).prop_map(|(f, n)| Op::Unxattr(f, n)),
        1 => Just(Op::Fork),
        1 => Just(Op::Reopen),
    ]
}

fn name(n: u8) -> Vec<u8> {
    vec![b'a' + n; 1 + usize::from(n) * 30]
}

/// Bytes that differ from place to place and from operation to operation.
fn fill(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 97) as u8 ^ seed | 1).collect()
}

/// An answer of either side, where only the errno of a failure counts.
fn answer<T>(result: tine_fs::Result<T>) -> Result<T, i32> {
    result.map_err(|error| error.errno())
}

/// Does one operation on both sides and compares the answers.
pub fn apply(fs: &Fs, model: &mut Model, op: &Op) -> Result<(), TestCaseError> {
    let pick = |list: Vec<Ino>, n: u8| list[usize::from(n) % list.len()];
    let dir = |model: &Model, n: u8| pick(model.dirs(), n);
    let any = |model: &Model, n: u8| pick(model.inos(), n);
    match op {
        Op::Create(d, n) | Op::Mkdir(d, n) | Op::Symlink(d, n, _) => {
            let (d, n) = (dir(model, *d), name(*n));
            let (made, content) = match op {
                Op::Create(..) => (fs.create(&ME, d, &n, 0o644), Content::file()),
                Op::Mkdir(..) => (fs.mkdir(&ME, d, &n, 0o755), Content::dir(d)),
                Op::Symlink(_, _, len) => {
                    let target = vec![b't'; usize::from(*len)];
                    let made = fs.symlink(&ME, d, &n, &target);
                    (made, Content::Symlink(target))
                }
                _ => unreachable!("the pattern above"),
            };
            let ino = answer(made.map(|attr| attr.ino));
            prop_assert_eq!(ino.map(drop), model.make(d, &n, ino.unwrap_or(ROOT), content));
        }
        Op::Tmpfile(d) => {
            let d = dir(model, *d);
            let ino = answer(fs.tmpfile(&ME, d, 0o600).map(|attr| attr.ino));
            prop_assert_eq!(ino.map(drop), model.tmpfile(d, ino.unwrap_or(ROOT)));
        }
        Op::Link(f, d, n) => {
            let (f, d, n) = (any(model, *f), dir(model, *d), name(*n));
            prop_assert_eq!(answer(fs.link(f, d, &n)).map(drop), model.link(f, d, &n));
        }
        Op::Unlink(d, n) => {
            let (d, n) = (dir(model, *d), name(*n));
            prop_assert_eq!(answer(fs.unlink(d, &n)), model.unlink(d, &n));
        }
        Op::Rmdir(d, n) => {
            let (d, n) = (dir(model, *d), name(*n));
            prop_assert_eq!(answer(fs.rmdir(d, &n)), model.rmdir(d, &n));
        }
        Op::Rename(d, n, d2, n2, mode) => {
            let (d, n, d2, n2) = (dir(model, *d), name(*n), dir(model, *d2), name(*n2));
            let answer = answer(fs.rename(d, &n, d2, &n2, *mode));
            prop_assert_eq!(answer, model.rename(d, &n, d2, &n2, *mode));
        }
        Op::Open(f) => {
            let f = any(model, *f);
            fs.opened(f);
            model.open(f);
        }
        Op::Release(f) => {
            if let Some(f) = model.an_open(*f) {
                fs.released(f).unwrap();
                model.release(f);
            }
        }
        Op::Write(f, at, len, seed) => {
            let (f, data) = (any(model, *f), fill(usize::from(*len), *seed));
            let answer = answer(fs.write(f, u64::from(*at), &data, false));
            prop_assert_eq!(answer.map(drop), model.write(f, *at as usize, &data));
        }
        Op::Truncate(f, size) => {
            let f = any(model, *f);
            let set = SetAttr { size: Some(u64::from(*size)), ..SetAttr::default() };
            prop_assert_eq!(answer(fs.setattr(f, &set)).map(drop), model.truncate(f, *size));
        }
        Op::Fallocate(f, what, at, len) => {
            let (f, len) = (any(model, *f), (*len).max(1));
            let range = u64::from(*at)..u64::from(*at) + u64::from(len);
            let answer = answer(fs.fallocate(f, *what, range));
            prop_assert_eq!(answer, model.fallocate(f, *what, *at as usize, len as usize));
        }
        Op::Copy(f, at, g, to, len) => {
            let (f, g) = (any(model, *f), any(model, *g));
            let [at64, to64, len64] = [*at, *to, *len].map(u64::from);
            let source = FileOffset { ino: f, offset: at64 };
            let target = FileOffset { ino: g, offset: to64 };
            let answer = answer(fs.copy_range(source, target, len64));
            prop_assert_eq!(answer, model.copy(f, *at as usize, g, *to as usize, *len as usize));
        }
        Op::Xattr(f, n, len) => {
            let (f, value) = (any(model, *f), fill(*len as usize, *n));
            let answer = answer(fs.setxattr(f, &xattr(*n), &value, XattrMode::Any));
            prop_assert_eq!(answer, model.setxattr(f, &xattr(*n), value));
        }
        Op::Unxattr(f, n) => {
            let f = any(model, *f);
            prop_assert_eq!(
                answer(fs.removexattr(f, &xattr(*n))),
                model.removexattr(f, &xattr(*n))
            );
        }
        Op::Fork | Op::Reopen => unreachable!("done by the test itself"),
    }
    Ok(())
}

fn xattr(n: u8) -> Vec<u8> {
    format!("user.{n}").into_bytes()
}

/// An answer that has to be one.
fn there<T>(result: tine_fs::Result<T>) -> Result<T, TestCaseError> {
    result.map_err(|error| TestCaseError::fail(error.to_string()))
}

/// Compares everything that is there.
pub fn compare(fs: &Fs, model: &Model) -> Result<(), TestCaseError> {
    for (&ino, node) in &model.nodes {
        let attr = there(fs.getattr(ino))?;
        prop_assert_eq!(attr.nlink, model.nlink(ino), "links of {}", ino);
        match &node.content {
            Content::File(data) => {
                prop_assert_eq!((attr.kind, attr.size), (Kind::File, data.len() as u64));
                let mut buf = vec![0xee; data.len() + 10];
                prop_assert_eq!(there(fs.read(ino, 0, &mut buf))?, data.len());
                prop_assert!(buf[..data.len()] == data[..], "data of {}", ino);
                compare_holes(fs, ino, data)?;
            }
            Content::Dir { entries, .. } => {
                let mut found = Vec::new();
                there(fs.readdir_plus(ino, 0, &mut |entry, attr| {
                    found.push((entry.name.to_vec(), entry.ino));
                    attr.ino == entry.ino && attr.kind == entry.kind
                }))?;
                let dots = found.drain(..2).map(|(_, ino)| ino).collect::<Vec<_>>();
                prop_assert_eq!(dots, [ino, model.parent(ino)]);
                found.sort();
                let expected: Vec<_> = entries.iter().map(|(n, i)| (n.clone(), *i)).collect();
                prop_assert_eq!(found, expected);
            }
            Content::Symlink(target) => {
                prop_assert_eq!(attr.size, target.len() as u64);
                prop_assert_eq!(&there(fs.readlink(ino))?, target);
            }
        }
        let mut names = there(fs.listxattr(ino))?;
        names.sort();
        prop_assert_eq!(names, node.xattrs.keys().cloned().collect::<Vec<_>>());
        for (name, value) in &node.xattrs {
            prop_assert!(&there(fs.getxattr(ino, name))? == value);
        }
    }
    for ino in &model.gone {
        prop_assert_eq!(answer(fs.getattr(*ino)).err(), Some(libc::ENOENT));
    }
    let findings = tine_fs::check(&fs.branch().read().unwrap()).unwrap();
    prop_assert!(findings.is_empty(), "{:?}", findings);
    Ok(())
}

/// What is said to be a hole must read as zeros, and what is not zero must be said to be data.
fn compare_holes(fs: &Fs, ino: Ino, data: &[u8]) -> Result<(), TestCaseError> {
    let mut at = 0;
    while (at as usize) < data.len() {
        let begin = fs.seek(ino, at, Seek::Data).unwrap_or(data.len() as u64);
        prop_assert!(data[at as usize..begin as usize].iter().all(|byte| *byte == 0));
        if begin as usize == data.len() {
            break;
        }
        at = there(fs.seek(ino, begin, Seek::Hole))?;
        prop_assert!(at > begin);
    }
    prop_assert_eq!(fs.seek(ino, data.len() as u64, Seek::Hole).unwrap_err().errno(), libc::ENXIO);
    Ok(())
}
