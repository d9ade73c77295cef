//! Forking, sealing, renaming, resetting and deleting branches. Each is one journal record, and the
//! same step when that record is replayed.

use super::catalog::{Catalog, ForkPoint, infos};
use super::info::{BranchInfo, ForkOptions};
use super::inner::{BranchInner, BranchState};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::catalog::BranchMeta;
use crate::format::ids::{BranchId, ForkPointId, Generation};
use crate::injected_bug::{InjectedBug, injected};
use crate::journal::{Record, ResetTo};
use crate::pins::Pin;
use crate::space::Purpose;
use crate::sync::{lock, read, write};
use crate::tree::{Link, Node, Root};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Nodes that making, naming or resetting a branch may change: its own, and the paths of its
/// records.
const NODES_OF_A_BRANCH: u64 = 8;

/// Records of the system tree that such a step changes at most: of two branches and their names, of
/// two fork points, and what waits to be taken apart.
const RECORDS_OF_A_BRANCH: u64 = 8;

/// Checks the name of a new branch: 1 to 128 of letters, digits, `. _ - /`; not starting with `-`
/// or `.`.
///
/// # Errors
/// [`Error::NameInvalid`], with the part of the rule that the name breaks.
pub fn check_branch_name(name: &str) -> Result<()> {
    let why = if name.is_empty() || name.len() > 128 {
        "it must have 1 to 128 characters"
    } else if name.starts_with(['-', '.']) {
        "it must not start with `-` or `.`"
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) {
        "only letters, digits and `. _ - /` are allowed"
    } else {
        return Ok(());
    };
    Err(Error::NameInvalid { thing: "a branch", name: name.into(), why })
}

/// Returns `true` if a branch may be called that.
pub(crate) fn is_name(name: &str) -> bool {
    check_branch_name(name).is_ok()
}

fn timestamp(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}

fn check_free(catalog: &Catalog, name: &str) -> Result<()> {
    check_branch_name(name)?;
    match catalog.find(name)? {
        Some(_) => Err(Error::BranchExists { name: name.into() }),
        None => Ok(()),
    }
}

/// What a branch is made equal to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ResetTarget<'a> {
    /// Its own fork point.
    ForkPoint,
    /// The state of another branch, which becomes its fork point.
    StateOf(&'a str),
    /// Another branch, with the fork point of that.
    CopyOf(&'a str),
}

impl Engine {
    /// Appends the journal record of a finished step, notes that it belongs to the branch, and
    /// counts the records of the system tree that the next checkpoint writes for it.
    fn log(&self, branch: &BranchInner, record: Record) {
        let number = self.journal.append(record);
        branch.written.fetch_max((number + 1).0, Ordering::AcqRel);
        self.changed.records(RECORDS_OF_A_BRANCH);
    }

    pub(crate) fn create_branch(&self, name: &str) -> Result<Arc<BranchInner>> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Growth)?;
        let mut catalog = lock(&self.catalog);
        check_free(&catalog, name)?;
        let meta = BranchMeta {
            name: name.into(),
            parent: None,
            fork_point: None,
            sealed: false,
            created: timestamp(self.options.environment.now()),
            expires: None,
            share_gen: Generation(0),
        };
        self.changed.node();
        let id = catalog.next_branch;
        let branch = self.do_create(&mut catalog, id, meta.clone());
        self.log(&branch, Record::Create { branch: branch.id, meta });
        Ok(branch)
    }

    pub(crate) fn do_create(
        &self,
        catalog: &mut Catalog,
        id: BranchId,
        mut meta: BranchMeta,
    ) -> Arc<BranchInner> {
        let birth = self.generation();
        // Nothing of it is shared: whatever it will hold is born later.
        meta.share_gen = birth.before();
        let root =
            Root { link: Link::Mem(Arc::new(Node::empty(birth))), level: 0, entries: 0, bytes: 0 };
        let branch = BranchInner::new(id, meta, root);
        branch.dirty.store(true, Ordering::Release);
        self.changed();
        catalog.insert(&branch);
        branch
    }

    pub(crate) fn fork(
        &self,
        from: &str,
        new: &str,
        options: &ForkOptions,
    ) -> Result<Arc<BranchInner>> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Growth)?;
        let mut catalog = lock(&self.catalog);
        check_free(&catalog, new)?;
        let source = catalog.named(from)?;
        let mut state = write(&source.state);
        let fork_point = match options.same_fork_point {
            true => state.meta.fork_point,
            false => Some(state.fork_point.unwrap_or(catalog.next_fork_point)),
        };
        let meta = BranchMeta {
            name: new.into(),
            parent: Some(options.parent.map_or(source.id, BranchId)),
            fork_point,
            sealed: options.sealed,
            created: timestamp(self.options.environment.now()),
            expires: options.expires.map(timestamp),
            share_gen: Generation(0),
        };
        let id = catalog.next_branch;
        let branch = self.do_fork(&mut catalog, &source, &mut state, id, meta.clone())?;
        self.log(&branch, Record::Fork { from: source.id, branch: branch.id, meta });
        Ok(branch)
    }

    /// Raises the generation: what was born until now is shared from here on.
    fn share(&self, state: &mut BranchState, branch: &BranchInner) -> Generation {
        let generation = Generation(self.generation.fetch_add(1, Ordering::AcqRel));
        let stale = injected(InjectedBug::GenerationStale);
        state.meta.share_gen = if stale { generation.before() } else { generation };
        branch.dirty.store(true, Ordering::Release);
        generation
    }

    pub(crate) fn do_fork(
        &self,
        catalog: &mut Catalog,
        source: &BranchInner,
        state: &mut BranchState,
        id: BranchId,
        mut meta: BranchMeta,
    ) -> Result<Arc<BranchInner>> {
        self.retain_for(catalog, meta.fork_point, state)?;
        meta.share_gen = self.share(state, source);
        self.refs.share(&state.root.link);
        let branch = BranchInner::new(id, meta, state.root.clone());
        write(&branch.state).fork_point = state.fork_point;
        branch.dirty.store(true, Ordering::Release);
        self.changed();
        catalog.insert(&branch);
        Ok(branch)
    }

    /// One more user of a fork point: that of the branch itself, if it is given, for a copy of the
    /// branch; else one that names its present root. A branch that is still what it was forked from
    /// has both in one.
    fn retain_for(
        &self,
        catalog: &mut Catalog,
        id: Option<ForkPointId>,
        state: &mut BranchState,
    ) -> Result<()> {
        if id != state.meta.fork_point {
            let id = id.ok_or_else(|| Error::damaged("a fork of a branch has no fork point"))?;
            return self.retain_fork_point(catalog, id, state);
        }
        let Some(id) = id else { return Ok(()) };
        let kept = catalog.fork_point(id)?;
        let kept = kept.ok_or_else(|| Error::damaged("a branch's fork point is missing"))?;
        catalog.set_fork_point(id, Some(ForkPoint { users: kept.users + 1, ..kept }));
        Ok(())
    }

    /// One more user of the fork point `id`, which names the present root of `state`.
    fn retain_fork_point(
        &self,
        catalog: &mut Catalog,
        id: ForkPointId,
        state: &mut BranchState,
    ) -> Result<()> {
        let fork_point = match catalog.fork_point(id)? {
            Some(fork_point) => ForkPoint { users: fork_point.users + 1, ..fork_point },
            None => {
                self.refs.share(&state.root.link);
                ForkPoint { root: state.root.clone(), users: 1 }
            }
        };
        catalog.set_fork_point(id, Some(fork_point));
        state.fork_point = Some(id);
        Ok(())
    }

    /// One user fewer of a branch's fork point, if it has one.
    fn release_fork_point(&self, catalog: &mut Catalog, id: Option<ForkPointId>) -> Result<()> {
        let Some(id) = id else { return Ok(()) };
        let Some(fork_point) = catalog.fork_point(id)? else { return Ok(()) };
        if fork_point.users > 1 {
            catalog
                .set_fork_point(id, Some(ForkPoint { users: fork_point.users - 1, ..fork_point }));
        } else {
            catalog.set_fork_point(id, None);
            self.reclaim.push(fork_point.root);
        }
        Ok(())
    }

    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Release)?;
        let mut catalog = lock(&self.catalog);
        let branch = catalog.named(name)?;
        self.do_delete(&mut catalog, &branch)?;
        self.log(&branch, Record::Delete { branch: branch.id });
        Ok(())
    }

    pub(crate) fn do_delete(&self, catalog: &mut Catalog, branch: &Arc<BranchInner>) -> Result<()> {
        let fork_point = read(&branch.state).meta.fork_point;
        self.release_fork_point(catalog, fork_point)?;
        catalog.remove(branch);
        let root = {
            let state = write(&branch.state);
            branch.deleted.store(true, Ordering::Release);
            state.root.clone()
        };
        self.space.release_preallocation(&mut lock(&branch.preallocation));
        self.reclaim.push(root);
        self.changed();
        Ok(())
    }

    pub(crate) fn rename(&self, old: &str, new: &str) -> Result<()> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Growth)?;
        let mut catalog = lock(&self.catalog);
        let branch = catalog.named(old)?;
        check_free(&catalog, new)?;
        self.do_rename(&mut catalog, &branch, new);
        self.log(&branch, Record::Rename { branch: branch.id, name: new.into() });
        Ok(())
    }

    pub(crate) fn do_rename(&self, catalog: &mut Catalog, branch: &BranchInner, new: &str) {
        catalog.rename(branch, new);
        branch.dirty.store(true, Ordering::Release);
        self.changed();
    }

    pub(crate) fn reset(&self, name: &str, target: ResetTarget<'_>) -> Result<()> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Release)?;
        let mut catalog = lock(&self.catalog);
        let branch = catalog.named(name)?;
        let source = match target {
            ResetTarget::ForkPoint => None,
            ResetTarget::StateOf(to) | ResetTarget::CopyOf(to) => Some(catalog.named(to)?),
        };
        // Both states are held until the record is in the journal: what is committed to either
        // comes before the reset there if it came before it here, and after it otherwise.
        let mut state = write(&branch.state);
        if state.meta.sealed {
            return Err(Error::Sealed { name: name.into() });
        }
        let Some(source) = source else {
            let Some(fork_point) = state.meta.fork_point else {
                return Err(Error::NoForkPoint { name: name.into() });
            };
            self.do_reset(&mut catalog, &branch, &mut state, fork_point)?;
            self.log(&branch, Record::Reset { branch: branch.id, to: None });
            return Ok(());
        };
        if source.id == branch.id {
            return Ok(());
        }
        let mut from = write(&source.state);
        let fork_point = match target {
            ResetTarget::CopyOf(_) => from.meta.fork_point,
            _ => Some(from.fork_point.unwrap_or(catalog.next_fork_point)),
        };
        self.do_reset_to(&mut catalog, (&branch, &mut state), (&source, &mut from), fork_point)?;
        let to = ResetTo { source: source.id, fork_point };
        self.log(&branch, Record::Reset { branch: branch.id, to: Some(to) });
        Ok(())
    }

    /// Makes a branch equal to its fork point.
    pub(crate) fn do_reset(
        &self,
        catalog: &mut Catalog,
        branch: &BranchInner,
        state: &mut BranchState,
        fork_point: ForkPointId,
    ) -> Result<()> {
        let kept = catalog
            .fork_point(fork_point)?
            .ok_or_else(|| Error::damaged("a branch's fork point is missing"))?;
        self.replace_root((branch, state), kept.root, Some(fork_point));
        Ok(())
    }

    /// Makes a branch equal to another one. Its fork point becomes the state of that, or where
    /// `fork_point` is that one's own, the same.
    pub(crate) fn do_reset_to(
        &self,
        catalog: &mut Catalog,
        (branch, state): (&BranchInner, &mut BranchState),
        (source, from): (&BranchInner, &mut BranchState),
        fork_point: Option<ForkPointId>,
    ) -> Result<()> {
        self.retain_for(catalog, fork_point, from)?;
        self.share(from, source);
        let old_fork_point = std::mem::replace(&mut state.meta.fork_point, fork_point);
        self.replace_root((branch, state), from.root.clone(), from.fork_point);
        // The branch was changed already: it must not go on without its record.
        self.health.guard(self.release_fork_point(catalog, old_fork_point))
    }

    /// Puts another root in place of a branch's own; `fork_point` names it, if one does.
    fn replace_root(
        &self,
        (branch, state): (&BranchInner, &mut BranchState),
        root: Root,
        fork_point: Option<ForkPointId>,
    ) {
        self.refs.share(&root.link);
        let old = std::mem::replace(&mut state.root, root);
        self.share(state, branch);
        state.fork_point = fork_point;
        state.resets += 1;
        self.reclaim.push(old);
        self.changed();
    }

    pub(crate) fn branch_infos(&self) -> Result<Vec<BranchInfo>> {
        let all = lock(&self.catalog).all()?;
        Ok(infos(all))
    }

    /// The root of the branch's fork point, pinned.
    pub(crate) fn fork_point_root(&self, branch: &BranchInner) -> Result<Option<(Root, Pin)>> {
        let catalog = lock(&self.catalog);
        let Some(id) = read(&branch.state).meta.fork_point else { return Ok(None) };
        let fork_point = catalog.fork_point(id)?;
        Ok(fork_point.map(|fork_point| (fork_point.root, self.pin())))
    }
}
