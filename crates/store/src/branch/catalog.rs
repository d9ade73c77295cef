//! Which branches and fork points there are. Loaded from the system tree one by one, as needed.

use super::overlay::Overlay;
use super::{BranchInfo, Core};
use crate::error::{Error, Result};
use crate::format::catalog::{self as format, BranchMeta, PREFIX_BASE, PREFIX_BRANCH, number_key};
use crate::sync::{read, write};
use crate::tree::{self, Cursor, Nodes, Root};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// A kept fork point: one for all forks of the same cut.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub root: Root,
    /// Branches that keep it.
    pub users: u64,
}

#[derive(Debug)]
pub(crate) struct Catalog {
    nodes: Arc<Nodes>,
    /// The system tree of the last durable checkpoint.
    system: Option<Root>,
    names: Overlay<String, u64>,
    bases: Overlay<u64, Base>,
    deleted: Overlay<u64, ()>,
    loaded: HashMap<u64, Arc<Core>>,
    pub next_branch: u64,
    pub next_base: u64,
}

/// The catalog's changes at a cut.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub branches: Vec<(Arc<Core>, BranchMeta, Root)>,
    pub deleted: Vec<u64>,
    pub names: BTreeMap<String, Option<u64>>,
    pub bases: BTreeMap<u64, Option<Base>>,
    pub next_branch: u64,
    pub next_base: u64,
}

fn damaged(m: crate::format::codec::Malformed) -> Error {
    Error::damaged(0, m.0)
}

impl Catalog {
    pub fn new(
        nodes: Arc<Nodes>,
        system: Option<Root>,
        next_branch: u64,
        next_base: u64,
    ) -> Catalog {
        Catalog {
            nodes,
            system,
            names: Overlay::default(),
            bases: Overlay::default(),
            deleted: Overlay::default(),
            loaded: HashMap::new(),
            next_branch,
            next_base,
        }
    }

    fn system_get<T>(&self, key: &[u8], decode: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        match &self.system {
            Some(root) => tree::get(&self.nodes, root, key, decode),
            None => Ok(None),
        }
    }

    /// The number of the branch with the name.
    pub fn find(&self, name: &str) -> Result<Option<u64>> {
        match self.names.get(name) {
            Some(known) => Ok(known),
            None => {
                let id = |value: &[u8]| value.try_into().map(u64::from_be_bytes).ok();
                Ok(self.system_get(&format::name_key(name), id)?.flatten())
            }
        }
    }

    /// The branch with the name.
    pub fn named(&mut self, name: &str) -> Result<Arc<Core>> {
        let found = match self.find(name)? {
            Some(id) => self.branch(id)?,
            None => None,
        };
        found.ok_or_else(|| Error::BranchNotFound { name: name.into() })
    }

    /// The branch with the number, if it exists.
    pub fn branch(&mut self, id: u64) -> Result<Option<Arc<Core>>> {
        if let Some(core) = self.loaded.get(&id) {
            return Ok(Some(Arc::clone(core)));
        }
        if self.deleted.get(&id).is_some() {
            return Ok(None);
        }
        let Some(record) =
            self.system_get(&number_key(PREFIX_BRANCH, id), format::decode_branch)?
        else {
            return Ok(None);
        };
        let (meta, root) = record.map_err(damaged)?;
        let core = Core::new(id, meta, Root::on_disk(&root));
        self.loaded.insert(id, Arc::clone(&core));
        Ok(Some(core))
    }

    /// Takes a new branch in.
    pub fn insert(&mut self, core: &Arc<Core>) {
        let name = read(&core.state).meta.name.clone();
        self.next_branch = self.next_branch.max(core.id + 1);
        self.names.set(name, Some(core.id));
        self.loaded.insert(core.id, Arc::clone(core));
    }

    /// Takes a branch out.
    pub fn remove(&mut self, core: &Core) {
        let name = read(&core.state).meta.name.clone();
        self.names.set(name, None);
        self.deleted.set(core.id, Some(()));
        self.loaded.remove(&core.id);
    }

    pub fn rename(&mut self, core: &Core, new: &str) {
        let mut state = write(&core.state);
        self.names.set(std::mem::replace(&mut state.meta.name, new.into()), None);
        self.names.set(new.into(), Some(core.id));
    }

    pub fn base(&self, id: u64) -> Result<Option<Base>> {
        if let Some(known) = self.bases.get(&id) {
            return Ok(known);
        }
        match self.system_get(&number_key(PREFIX_BASE, id), format::decode_base)? {
            None => Ok(None),
            Some(record) => {
                let (users, root) = record.map_err(damaged)?;
                Ok(Some(Base { root: Root::on_disk(&root), users }))
            }
        }
    }

    pub fn set_base(&mut self, id: u64, base: Option<Base>) {
        self.next_base = self.next_base.max(id + 1);
        self.bases.set(id, base);
    }

    /// Every branch, by number.
    pub fn all(&mut self) -> Result<Vec<(u64, BranchMeta, Root)>> {
        let mut found = BTreeMap::new();
        if let Some(root) = &self.system {
            let mut cursor = Cursor::seek(&self.nodes, root, &[PREFIX_BRANCH])?;
            while let Some((key, value)) = cursor.next(&self.nodes)?
                && key.first() == Some(&PREFIX_BRANCH)
            {
                let id = format::key_number(&key).map_err(damaged)?;
                if self.deleted.get(&id).is_none() {
                    let (meta, root) = format::decode_branch(&value).map_err(damaged)?;
                    found.insert(id, (meta, Root::on_disk(&root)));
                }
            }
        }
        for (id, core) in &self.loaded {
            let state = read(&core.state);
            found.insert(*id, (state.meta.clone(), state.root.clone()));
        }
        Ok(found.into_iter().map(|(id, (meta, root))| (id, meta, root)).collect())
    }

    /// A checkpoint cuts here.
    pub fn cut(&mut self) -> Frozen {
        let mut branches = Vec::new();
        for core in self.loaded.values() {
            if core.dirty.swap(false, Ordering::AcqRel) {
                let state = read(&core.state);
                branches.push((Arc::clone(core), state.meta.clone(), state.root.clone()));
            }
        }
        // The same state is written in the same order.
        branches.sort_unstable_by_key(|(core, ..)| core.id);
        Frozen {
            branches,
            deleted: self.deleted.cut().into_keys().collect(),
            names: self.names.cut(),
            bases: self.bases.cut(),
            next_branch: self.next_branch,
            next_base: self.next_base,
        }
    }

    /// The checkpoint is durable, with `system` as its system tree. Fork points that were written
    /// need their nodes in memory no more.
    pub fn settle(&mut self, system: Root) {
        self.system = Some(system);
        self.names.settle();
        self.bases.settle();
        self.deleted.settle();
    }
}

fn time((seconds, nanos): (u64, u32)) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// What a listing shows.
pub(crate) fn infos(all: Vec<(u64, BranchMeta, Root)>) -> Vec<BranchInfo> {
    let names: HashMap<u64, String> =
        all.iter().map(|(id, meta, _)| (*id, meta.name.clone())).collect();
    let mut infos: Vec<BranchInfo> = all
        .into_iter()
        .map(|(id, meta, root)| BranchInfo {
            id,
            parent: names.get(&meta.parent).cloned(),
            sealed: meta.sealed,
            created: time(meta.created),
            expires: meta.expires.map(time),
            referenced_bytes: root.bytes,
            name: meta.name,
        })
        .collect();
    infos.sort_by(|a, b| a.name.cmp(&b.name));
    infos
}
