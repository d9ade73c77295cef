//! Which branches and fork points there are. Loaded from the system tree one by one, as needed.

use super::info::BranchInfo;
use super::inner::BranchInner;
use super::overlay::Overlay;
use crate::error::{Error, Result};
use crate::format::catalog::{
    self as format, BranchMeta, PREFIX_BRANCH, PREFIX_FORK_POINT, number_key,
};
use crate::format::ids::{BranchId, ForkPointId};
use crate::sync::{lock, read, write};
use crate::tree::{self, Cursor, Nodes, Root};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// Idle branches in memory: neither in use nor changed since the last checkpoint.
const IDLE_MAX: usize = 1024;

/// A fork point: one for all forks of the same state.
#[derive(Debug, Clone)]
pub(crate) struct ForkPoint {
    pub root: Root,
    /// Branches that keep it.
    pub users: u64,
}

#[derive(Debug)]
pub(crate) struct Catalog {
    nodes: Arc<Nodes>,
    /// The system tree of the last durable checkpoint.
    system: Option<Root>,
    names: Overlay<String, BranchId>,
    fork_points: Overlay<ForkPointId, ForkPoint>,
    deleted: Overlay<BranchId, ()>,
    loaded: HashMap<BranchId, Arc<BranchInner>>,
    /// More loaded branches are worth a look at which of them are idle.
    loaded_max: usize,
    /// Of the checkpoint that is being written: until it is durable, the disk knows them as they
    /// were.
    cutting: Vec<Arc<BranchInner>>,
    pub next_branch: BranchId,
    pub next_fork_point: ForkPointId,
}

/// The catalog's changes at a cut.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub branches: Vec<(Arc<BranchInner>, BranchMeta, Root)>,
    pub deleted: Vec<BranchId>,
    pub names: BTreeMap<String, Option<BranchId>>,
    pub fork_points: BTreeMap<ForkPointId, Option<ForkPoint>>,
    pub next_branch: BranchId,
    pub next_fork_point: ForkPointId,
}

fn damaged(m: crate::format::codec::Malformed) -> Error {
    Error::damaged(m.0)
}

impl Catalog {
    pub fn new(
        nodes: Arc<Nodes>,
        system: Option<Root>,
        next_branch: BranchId,
        next_fork_point: ForkPointId,
    ) -> Catalog {
        Catalog {
            nodes,
            system,
            names: Overlay::default(),
            fork_points: Overlay::default(),
            deleted: Overlay::default(),
            loaded: HashMap::new(),
            loaded_max: IDLE_MAX,
            cutting: Vec::new(),
            next_branch,
            next_fork_point,
        }
    }

    fn system_get<T>(&self, key: &[u8], decode: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        match &self.system {
            Some(root) => tree::get(&self.nodes, root, key, decode),
            None => Ok(None),
        }
    }

    /// The number of the branch with the name.
    pub fn find(&self, name: &str) -> Result<Option<BranchId>> {
        match self.names.get(name) {
            Some(known) => Ok(known),
            None => {
                let id = |value: &[u8]| value.try_into().map(u64::from_be_bytes).map(BranchId).ok();
                Ok(self.system_get(&format::name_key(name), id)?.flatten())
            }
        }
    }

    /// The branch with the name.
    pub fn named(&mut self, name: &str) -> Result<Arc<BranchInner>> {
        let found = match self.find(name)? {
            Some(id) => self.branch(id)?,
            None => None,
        };
        found.ok_or_else(|| Error::BranchNotFound { name: name.into() })
    }

    /// The branch with the number, if it exists.
    pub fn branch(&mut self, id: BranchId) -> Result<Option<Arc<BranchInner>>> {
        if let Some(branch) = self.loaded.get(&id) {
            return Ok(Some(Arc::clone(branch)));
        }
        if self.deleted.get(&id).is_some() {
            return Ok(None);
        }
        let Some(record) =
            self.system_get(&number_key(PREFIX_BRANCH, id.0), format::decode_branch)?
        else {
            return Ok(None);
        };
        let (meta, root) = record.map_err(damaged)?;
        let branch = BranchInner::new(id, meta, Root::on_disk(&root));
        self.remember(&branch);
        Ok(Some(branch))
    }

    fn remember(&mut self, branch: &Arc<BranchInner>) {
        self.loaded.insert(branch.id, Arc::clone(branch));
        if self.loaded.len() > self.loaded_max {
            self.forget_idle();
        }
    }

    /// Forgets branches that are not in use and that the disk knows as they are, if there are many.
    pub fn forget_idle(&mut self) {
        if self.loaded.len() > IDLE_MAX {
            self.loaded.retain(|_, branch| {
                let used = Arc::strong_count(branch) > 1 || branch.dirty.load(Ordering::Acquire);
                used || !lock(&branch.preallocation).is_empty()
            });
        }
        self.loaded_max = IDLE_MAX.max(2 * self.loaded.len());
    }

    /// The branches in memory.
    pub fn loaded(&self) -> impl Iterator<Item = &Arc<BranchInner>> {
        self.loaded.values()
    }

    /// Takes a new branch in.
    pub fn insert(&mut self, branch: &Arc<BranchInner>) {
        let name = read(&branch.state).meta.name.clone();
        self.next_branch = self.next_branch.max(branch.id.next());
        self.names.set(name, Some(branch.id));
        self.remember(branch);
    }

    /// Takes a branch out.
    pub fn remove(&mut self, branch: &BranchInner) {
        let name = read(&branch.state).meta.name.clone();
        self.names.set(name, None);
        self.deleted.set(branch.id, Some(()));
        self.loaded.remove(&branch.id);
    }

    pub fn rename(&mut self, branch: &BranchInner, new: &str) {
        let mut state = write(&branch.state);
        self.names.set(std::mem::replace(&mut state.meta.name, new.into()), None);
        self.names.set(new.into(), Some(branch.id));
    }

    pub fn fork_point(&self, id: ForkPointId) -> Result<Option<ForkPoint>> {
        if let Some(known) = self.fork_points.get(&id) {
            return Ok(known);
        }
        match self.system_get(&number_key(PREFIX_FORK_POINT, id.0), format::decode_fork_point)? {
            None => Ok(None),
            Some(record) => {
                let (users, root) = record.map_err(damaged)?;
                Ok(Some(ForkPoint { root: Root::on_disk(&root), users }))
            }
        }
    }

    pub fn set_fork_point(&mut self, id: ForkPointId, fork_point: Option<ForkPoint>) {
        self.next_fork_point = self.next_fork_point.max(id.next());
        self.fork_points.set(id, fork_point);
    }

    /// Every branch, by number.
    pub fn all(&mut self) -> Result<Vec<(BranchId, BranchMeta, Root)>> {
        let mut found = BTreeMap::new();
        if let Some(root) = &self.system {
            let mut cursor = Cursor::seek(&self.nodes, root, &[PREFIX_BRANCH])?;
            while let Some((key, value)) = cursor.next(&self.nodes)?
                && key.first() == Some(&PREFIX_BRANCH)
            {
                let id = BranchId(format::key_number(&key).map_err(damaged)?);
                if self.deleted.get(&id).is_none() {
                    let (meta, root) = format::decode_branch(&value).map_err(damaged)?;
                    found.insert(id, (meta, Root::on_disk(&root)));
                }
            }
        }
        for (id, branch) in &self.loaded {
            let state = read(&branch.state);
            found.insert(*id, (state.meta.clone(), state.root.clone()));
        }
        Ok(found.into_iter().map(|(id, (meta, root))| (id, meta, root)).collect())
    }

    /// A checkpoint cuts here.
    pub fn cut(&mut self) -> Frozen {
        let mut branches = Vec::new();
        for branch in self.loaded.values() {
            if branch.dirty.swap(false, Ordering::AcqRel) {
                let state = read(&branch.state);
                branches.push((Arc::clone(branch), state.meta.clone(), state.root.clone()));
            }
        }
        // The same state is written in the same order.
        branches.sort_unstable_by_key(|(branch, ..)| branch.id);
        self.cutting = branches.iter().map(|(branch, ..)| Arc::clone(branch)).collect();
        Frozen {
            branches,
            deleted: self.deleted.cut().into_keys().collect(),
            names: self.names.cut(),
            fork_points: self.fork_points.cut(),
            next_branch: self.next_branch,
            next_fork_point: self.next_fork_point,
        }
    }

    /// The checkpoint is durable, with `system` as its system tree. Fork points that were written
    /// need their nodes in memory no more.
    pub fn finish_checkpoint(&mut self, system: Root) {
        self.system = Some(system);
        self.names.finish_checkpoint();
        self.fork_points.finish_checkpoint();
        self.deleted.finish_checkpoint();
        self.cutting.clear();
    }
}

fn time((seconds, nanos): (u64, u32)) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// What a listing shows.
pub(crate) fn infos(all: Vec<(BranchId, BranchMeta, Root)>) -> Vec<BranchInfo> {
    let names: HashMap<BranchId, String> =
        all.iter().map(|(id, meta, _)| (*id, meta.name.clone())).collect();
    let mut infos: Vec<BranchInfo> = all
        .into_iter()
        .map(|(id, meta, root)| BranchInfo {
            id: id.0,
            parent: meta.parent.and_then(|parent| names.get(&parent).cloned()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;
    use crate::options::Options;
    use crate::store::Store;

    const BRANCHES: usize = 4 * IDLE_MAX;

    fn name(n: usize) -> String {
        format!("b{n}")
    }

    fn put(store: &Store, branch: &str, value: &[u8]) {
        let branch = store.branch(branch).unwrap();
        let mut txn = branch.write().unwrap();
        txn.put(b"key", value).unwrap();
        txn.commit().unwrap();
    }

    #[test]
    fn branches_used_one_after_another_do_not_stay_in_memory_and_are_what_they_were() {
        let options = Options { background: false, ..Options::default() };
        let store = Store::create_on(Arc::new(MemoryDevice::new()), &options).unwrap();
        let main = store.create_branch("main").unwrap();
        let loaded = || lock(&main.shared.engine().unwrap().catalog).loaded.len();
        for n in 0..BRANCHES {
            store.fork("main", &name(n)).unwrap();
        }
        assert!(loaded() > BRANCHES, "only memory knows them so far");
        let held = store.branch(&name(7)).unwrap();
        store.checkpoint().unwrap();
        assert!(loaded() < IDLE_MAX);
        // Read and changed in turn: what is not on the disk yet must not be forgotten.
        for n in 0..BRANCHES {
            store.branch(&name(n)).unwrap().stage(&[1; 4096]).unwrap();
            if n % 16 == 0 {
                put(&store, &name(n), &n.to_be_bytes());
            }
            assert!(loaded() <= 2 * IDLE_MAX + BRANCHES / 16 + 1, "{} after {n}", loaded());
            if n % 1000 == 999 {
                store.checkpoint().unwrap();
            }
        }
        put(&store, &name(7), b"held");
        assert_eq!(held.read().unwrap().get(b"key").unwrap(), Some(b"held".to_vec()));
        for n in (0..BRANCHES).step_by(16) {
            let read = store.branch(&name(n)).unwrap().read().unwrap();
            assert_eq!(read.get(b"key").unwrap(), Some(n.to_be_bytes().to_vec()), "branch {n}");
        }
        assert_eq!(store.check().unwrap().findings, []);
    }
}
