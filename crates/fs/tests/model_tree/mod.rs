//! A file tree as plainly as it can be said: maps and byte vectors.

#![allow(dead_code)]

pub mod ops;
pub mod paths;

use std::collections::{BTreeMap, BTreeSet};

use tine_fs::{Fallocate, Ino, ROOT, RenameMode, XATTR_BYTES_MAX};

type Answer<T> = Result<T, i32>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    File(Vec<u8>),
    Dir { parent: Ino, entries: BTreeMap<Vec<u8>, Ino> },
    Symlink(Vec<u8>),
}

impl Content {
    pub fn file() -> Content {
        Content::File(Vec::new())
    }

    pub fn dir(parent: Ino) -> Content {
        Content::Dir { parent, entries: BTreeMap::new() }
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    pub content: Content,
    /// How many names lead to it.
    pub names: u32,
    pub opens: u32,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    fn new(content: Content, names: u32) -> Node {
        Node { content, names, opens: 0, xattrs: BTreeMap::new() }
    }
}

#[derive(Clone, Debug)]
pub struct Model {
    pub nodes: BTreeMap<Ino, Node>,
    /// What was there once: none may come back.
    pub gone: BTreeSet<Ino>,
}

impl Model {
    pub fn new() -> Model {
        let root = Node::new(Content::dir(ROOT), 1);
        Model { nodes: BTreeMap::from([(ROOT, root)]), gone: BTreeSet::new() }
    }

    pub fn inos(&self) -> Vec<Ino> {
        self.nodes.keys().copied().collect()
    }

    pub fn dirs(&self) -> Vec<Ino> {
        self.inos().into_iter().filter(|ino| self.is_dir(*ino)).collect()
    }

    fn is_dir(&self, ino: Ino) -> bool {
        matches!(self.nodes[&ino].content, Content::Dir { .. })
    }

    fn entries(&self, dir: Ino) -> &BTreeMap<Vec<u8>, Ino> {
        match &self.nodes[&dir].content {
            Content::Dir { entries, .. } => entries,
            other => panic!("{other:?} is no directory"),
        }
    }

    fn entries_mut(&mut self, dir: Ino) -> &mut BTreeMap<Vec<u8>, Ino> {
        match &mut self.nodes.get_mut(&dir).unwrap().content {
            Content::Dir { entries, .. } => entries,
            other => panic!("{other:?} is no directory"),
        }
    }

    /// A removed directory is its own parent.
    pub fn parent(&self, dir: Ino) -> Ino {
        match &self.nodes[&dir].content {
            Content::Dir { parent, .. } if self.nodes[&dir].names > 0 => *parent,
            _ => dir,
        }
    }

    fn set_parent(&mut self, ino: Ino, new: Ino) {
        if let Content::Dir { parent, .. } = &mut self.nodes.get_mut(&ino).unwrap().content {
            *parent = new;
        }
    }

    pub fn nlink(&self, ino: Ino) -> u32 {
        let node = &self.nodes[&ino];
        match &node.content {
            Content::Dir { .. } if node.names == 0 => 0,
            Content::Dir { entries, .. } => {
                2 + entries.values().filter(|ino| self.is_dir(**ino)).count() as u32
            }
            _ => node.names,
        }
    }

    fn collect(&mut self, ino: Ino) {
        if self.nodes[&ino].names == 0 && self.nodes[&ino].opens == 0 {
            self.nodes.remove(&ino);
            self.gone.insert(ino);
        }
    }

    fn alive(&self, dir: Ino) -> Answer<()> {
        if self.nodes[&dir].names > 0 { Ok(()) } else { Err(libc::ENOENT) }
    }

    fn find(&self, dir: Ino, name: &[u8]) -> Answer<Ino> {
        self.alive(dir)?;
        self.entries(dir).get(name).copied().ok_or(libc::ENOENT)
    }

    pub fn make(&mut self, dir: Ino, name: &[u8], ino: Ino, content: Content) -> Answer<()> {
        if matches!(&content, Content::Symlink(target) if target.len() > 4095) {
            return Err(libc::ENAMETOOLONG);
        }
        self.alive(dir)?;
        if self.entries(dir).contains_key(name) {
            return Err(libc::EEXIST);
        }
        self.entries_mut(dir).insert(name.to_vec(), ino);
        assert!(!self.gone.contains(&ino), "number {ino} came back");
        assert!(self.nodes.insert(ino, Node::new(content, 1)).is_none(), "{ino} is taken");
        Ok(())
    }

    pub fn tmpfile(&mut self, dir: Ino, ino: Ino) -> Answer<()> {
        self.alive(dir)?;
        self.nodes.insert(ino, Node::new(Content::file(), 0));
        self.open(ino);
        Ok(())
    }

    pub fn link(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Answer<()> {
        if self.is_dir(ino) {
            return Err(libc::EPERM);
        }
        self.alive(dir)?;
        if self.entries(dir).contains_key(name) {
            return Err(libc::EEXIST);
        }
        self.entries_mut(dir).insert(name.to_vec(), ino);
        self.nodes.get_mut(&ino).unwrap().names += 1;
        Ok(())
    }

    fn remove(&mut self, dir: Ino, name: &[u8]) {
        let ino = self.entries_mut(dir).remove(name).unwrap();
        self.nodes.get_mut(&ino).unwrap().names -= 1;
        self.collect(ino);
    }

    pub fn unlink(&mut self, dir: Ino, name: &[u8]) -> Answer<()> {
        let ino = self.find(dir, name)?;
        if self.is_dir(ino) {
            return Err(libc::EISDIR);
        }
        self.remove(dir, name);
        Ok(())
    }

    pub fn rmdir(&mut self, dir: Ino, name: &[u8]) -> Answer<()> {
        let ino = self.find(dir, name)?;
        if !self.is_dir(ino) {
            return Err(libc::ENOTDIR);
        }
        if !self.entries(ino).is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        self.remove(dir, name);
        Ok(())
    }

    fn below(&self, ancestor: Ino, mut dir: Ino) -> bool {
        while dir != ROOT && dir != ancestor {
            dir = self.parent(dir);
        }
        dir == ancestor
    }

    pub fn rename(
        &mut self,
        dir: Ino,
        name: &[u8],
        new_dir: Ino,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Answer<()> {
        self.alive(dir)?;
        self.alive(new_dir)?;
        let source = self.find(dir, name)?;
        let target = self.entries(new_dir).get(new_name).copied();
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => return Err(libc::EEXIST),
            (RenameMode::Exchange, None) => return Err(libc::ENOENT),
            _ => {}
        }
        if target == Some(source) {
            return Ok(());
        }
        let exchange = mode == RenameMode::Exchange;
        if self.is_dir(source) && self.below(source, new_dir) {
            return Err(libc::EINVAL);
        }
        if let Some(target) = target {
            match (self.is_dir(source), self.is_dir(target)) {
                (_, true) if exchange && self.below(target, dir) => return Err(libc::EINVAL),
                _ if exchange => {}
                (true, false) => return Err(libc::ENOTDIR),
                (false, true) => return Err(libc::EISDIR),
                (true, true) if !self.entries(target).is_empty() => return Err(libc::ENOTEMPTY),
                _ => {}
            }
        }
        match target {
            Some(target) if exchange => {
                self.entries_mut(dir).insert(name.to_vec(), target);
                self.set_parent(target, dir);
            }
            Some(_) => {
                self.remove(new_dir, new_name);
                self.entries_mut(dir).remove(name);
            }
            None => drop(self.entries_mut(dir).remove(name)),
        }
        self.entries_mut(new_dir).insert(new_name.to_vec(), source);
        self.set_parent(source, new_dir);
        Ok(())
    }

    pub fn open(&mut self, ino: Ino) {
        self.nodes.get_mut(&ino).unwrap().opens += 1;
    }

    pub fn an_open(&self, n: u8) -> Option<Ino> {
        let open: Vec<_> = self.nodes.iter().filter(|(_, node)| node.opens > 0).collect();
        (!open.is_empty()).then(|| *open[usize::from(n) % open.len()].0)
    }

    pub fn release(&mut self, ino: Ino) {
        self.nodes.get_mut(&ino).unwrap().opens -= 1;
        self.collect(ino);
    }

    /// Nobody uses anything any more, all at once.
    pub fn crash(&mut self) {
        for ino in self.inos() {
            self.nodes.get_mut(&ino).unwrap().opens = 0;
            self.collect(ino);
        }
    }

    fn data(&mut self, ino: Ino) -> Answer<&mut Vec<u8>> {
        match &mut self.nodes.get_mut(&ino).unwrap().content {
            Content::File(data) => Ok(data),
            Content::Dir { .. } => Err(libc::EISDIR),
            Content::Symlink(_) => Err(libc::EINVAL),
        }
    }

    pub fn write(&mut self, ino: Ino, at: usize, bytes: &[u8]) -> Answer<()> {
        let data = self.data(ino)?;
        data.resize(data.len().max(at + bytes.len()), 0);
        data[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    pub fn truncate(&mut self, ino: Ino, size: u32) -> Answer<()> {
        self.data(ino)?.resize(size as usize, 0);
        Ok(())
    }

    pub fn fallocate(&mut self, ino: Ino, what: Fallocate, at: usize, len: usize) -> Answer<()> {
        let data = self.data(ino)?;
        let (zero, grow) = match what {
            Fallocate::Allocate { keep_size } => (false, !keep_size),
            Fallocate::PunchHole => (true, false),
            Fallocate::ZeroRange { keep_size } => (true, !keep_size),
        };
        if grow {
            data.resize(data.len().max(at + len), 0);
        }
        let end = (at + len).min(data.len());
        if zero && at < end {
            data[at..end].fill(0);
        }
        Ok(())
    }

    pub fn copy(&mut self, from: Ino, at: usize, into: Ino, to: usize, len: usize) -> Answer<u64> {
        let source = self.data(from)?.clone();
        let len = source.len().saturating_sub(at).min(len);
        if from == into && at.abs_diff(to) < len {
            return Err(libc::EINVAL);
        }
        self.data(into)?;
        if len > 0 {
            self.write(into, to, &source[at..at + len])?;
        }
        Ok(len as u64)
    }

    pub fn setxattr(&mut self, ino: Ino, name: &[u8], value: Vec<u8>) -> Answer<()> {
        if value.len() > XATTR_BYTES_MAX {
            return Err(libc::E2BIG);
        }
        self.nodes.get_mut(&ino).unwrap().xattrs.insert(name.to_vec(), value);
        Ok(())
    }

    pub fn removexattr(&mut self, ino: Ino, name: &[u8]) -> Answer<()> {
        let node = self.nodes.get_mut(&ino).unwrap();
        node.xattrs.remove(name).map(drop).ok_or(libc::ENODATA)
    }
}
