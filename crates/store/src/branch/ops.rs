//! Forking, sealing, renaming, resetting and deleting branches. Each is one journal record, and the
//! same step when that record is replayed.

use super::catalog::{Base, Catalog, infos};
use super::core::{Core, State};
use super::info::{BranchInfo, ForkOptions};
use crate::defect::{Defect, seeded};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::catalog::BranchMeta;
use crate::journal::Record;
use crate::pins::Pin;
use crate::space::Purpose;
use crate::sync::{lock, read, write};
use crate::tree::{Link, Node, Root};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Nodes that making, naming or resetting a branch may change: its own, and the paths of its records.
const NODES_OF_A_BRANCH: u64 = 8;

/// Records of the system tree that such a step changes at most: of two branches and their names, of two fork points, and
/// what waits to be taken apart.
const RECORDS_OF_A_BRANCH: u64 = 8;

/// The rule for names: 1 to 128 of letters, digits, `. _ - /`; not starting with `-` or `.`.
fn check_name(name: &str) -> Result<()> {
    let why = if name.is_empty() || name.len() > 128 {
        "it must have 1 to 128 characters"
    } else if name.starts_with(['-', '.']) {
        "it must not start with '-' or '.'"
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) {
        "only letters, digits, '.', '_', '-' and '/' are allowed"
    } else {
        return Ok(());
    };
    Err(Error::NameInvalid { thing: "a branch", name: name.into(), why })
}

fn timestamp(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}

fn check_free(catalog: &Catalog, name: &str) -> Result<()> {
    check_name(name)?;
    match catalog.find(name)? {
        Some(_) => Err(Error::BranchExists { name: name.into() }),
        None => Ok(()),
    }
}

impl Engine {
    /// Appends the record of a finished step and remembers which branch it belongs to.
    fn log(&self, core: &Core, record: Record) {
        core.written.fetch_max(self.journal.append(record) + 1, Ordering::AcqRel);
        self.changed.records(RECORDS_OF_A_BRANCH);
    }

    pub(crate) fn create_branch(&self, name: &str) -> Result<Arc<Core>> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Growth)?;
        let mut catalog = lock(&self.catalog);
        check_free(&catalog, name)?;
        let meta = BranchMeta {
            name: name.into(),
            parent: 0,
            base: 0,
            sealed: false,
            created: timestamp(self.options.environment.now()),
            expires: None,
            share_gen: 0,
        };
        self.changed.node();
        let id = catalog.next_branch;
        let core = self.do_create(&mut catalog, id, meta.clone());
        self.log(&core, Record::Create { branch: core.id, meta });
        Ok(core)
    }

    pub(crate) fn do_create(
        &self,
        catalog: &mut Catalog,
        id: u64,
        mut meta: BranchMeta,
    ) -> Arc<Core> {
        let birth = self.generation.load(Ordering::Acquire);
        // Nothing of it is shared: whatever it will hold is born later.
        meta.share_gen = birth.saturating_sub(1);
        let root =
            Root { link: Link::Mem(Arc::new(Node::empty(birth))), level: 0, entries: 0, bytes: 0 };
        let core = Core::new(id, meta, root);
        core.dirty.store(true, Ordering::Release);
        self.changed();
        catalog.insert(&core);
        core
    }

    pub(crate) fn fork(&self, from: &str, new: &str, options: &ForkOptions) -> Result<Arc<Core>> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Growth)?;
        let mut catalog = lock(&self.catalog);
        check_free(&catalog, new)?;
        let source = catalog.named(from)?;
        let mut state = write(&source.state);
        let meta = BranchMeta {
            name: new.into(),
            parent: source.id,
            base: state.cut.unwrap_or(catalog.next_base),
            sealed: options.sealed,
            created: timestamp(self.options.environment.now()),
            expires: options.expires.map(timestamp),
            share_gen: 0,
        };
        let id = catalog.next_branch;
        let core = self.do_fork(&mut catalog, &source, &mut state, id, meta.clone())?;
        self.log(&core, Record::Fork { from: source.id, branch: core.id, meta });
        Ok(core)
    }

    /// Raises the generation: what was born until now is shared from here on.
    fn share(&self, state: &mut State, core: &Core) -> u64 {
        let generation = self.generation.fetch_add(1, Ordering::AcqRel);
        state.meta.share_gen = generation - u64::from(seeded(Defect::GenerationStale));
        core.dirty.store(true, Ordering::Release);
        generation
    }

    pub(crate) fn do_fork(
        &self,
        catalog: &mut Catalog,
        source: &Core,
        state: &mut State,
        id: u64,
        mut meta: BranchMeta,
    ) -> Result<Arc<Core>> {
        self.keep_base(catalog, meta.base, state)?;
        meta.share_gen = self.share(state, source);
        self.refs.share(&state.root.link);
        let core = Core::new(id, meta, state.root.clone());
        write(&core.state).cut = state.cut;
        core.dirty.store(true, Ordering::Release);
        self.changed();
        catalog.insert(&core);
        Ok(core)
    }

    /// One more user of the fork point `id`, which names the present root of `state`.
    fn keep_base(&self, catalog: &mut Catalog, id: u64, state: &mut State) -> Result<()> {
        let base = match catalog.base(id)? {
            Some(base) => Base { users: base.users + 1, ..base },
            None => {
                self.refs.share(&state.root.link);
                Base { root: state.root.clone(), users: 1 }
            }
        };
        catalog.set_base(id, Some(base));
        state.cut = Some(id);
        Ok(())
    }

    /// One user fewer.
    fn drop_base(&self, catalog: &mut Catalog, id: u64) -> Result<()> {
        let Some(base) = catalog.base(id)? else { return Ok(()) };
        if base.users > 1 {
            catalog.set_base(id, Some(Base { users: base.users - 1, ..base }));
        } else {
            catalog.set_base(id, None);
            self.reclaim.push(base.root);
        }
        Ok(())
    }

    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Release)?;
        let mut catalog = lock(&self.catalog);
        let core = catalog.named(name)?;
        self.do_delete(&mut catalog, &core)?;
        self.log(&core, Record::Delete { branch: core.id });
        Ok(())
    }

    pub(crate) fn do_delete(&self, catalog: &mut Catalog, core: &Arc<Core>) -> Result<()> {
        let base = read(&core.state).meta.base;
        self.drop_base(catalog, base)?;
        catalog.remove(core);
        let root = {
            let state = write(&core.state);
            core.deleted.store(true, Ordering::Release);
            state.root.clone()
        };
        self.space.give_back_unused(&mut lock(&core.arena));
        self.reclaim.push(root);
        self.changed();
        Ok(())
    }

    pub(crate) fn rename(&self, old: &str, new: &str) -> Result<()> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Growth)?;
        let mut catalog = lock(&self.catalog);
        let core = catalog.named(old)?;
        check_free(&catalog, new)?;
        self.do_rename(&mut catalog, &core, new);
        self.log(&core, Record::Rename { branch: core.id, name: new.into() });
        Ok(())
    }

    pub(crate) fn do_rename(&self, catalog: &mut Catalog, core: &Core, new: &str) {
        catalog.rename(core, new);
        core.dirty.store(true, Ordering::Release);
        self.changed();
    }

    pub(crate) fn reset(&self, name: &str, to: Option<&str>) -> Result<()> {
        let _admitted = self.admit(NODES_OF_A_BRANCH, Purpose::Release)?;
        let mut catalog = lock(&self.catalog);
        let core = catalog.named(name)?;
        let source = to.map(|to| catalog.named(to)).transpose()?;
        // Both states are held until the record is in the journal: what is committed to either comes before the reset
        // there if it came before it here, and behind it otherwise.
        let mut state = write(&core.state);
        if state.meta.sealed {
            return Err(Error::Sealed { name: name.into() });
        }
        let Some(source) = source else {
            if state.meta.base == 0 {
                return Err(Error::NoForkPoint { name: name.into() });
            }
            self.do_reset(&mut catalog, &core, &mut state)?;
            self.log(&core, Record::Reset { branch: core.id, to: 0, base: 0 });
            return Ok(());
        };
        if source.id == core.id {
            return Ok(());
        }
        let mut from = write(&source.state);
        let base = from.cut.unwrap_or(catalog.next_base);
        self.do_reset_to(&mut catalog, (&core, &mut state), (&source, &mut from), base)?;
        self.log(&core, Record::Reset { branch: core.id, to: source.id, base });
        Ok(())
    }

    /// Makes a branch equal to its fork point.
    pub(crate) fn do_reset(
        &self,
        catalog: &mut Catalog,
        core: &Core,
        state: &mut State,
    ) -> Result<()> {
        let base = state.meta.base;
        let kept = catalog
            .base(base)?
            .ok_or_else(|| Error::damaged(0, "a branch's fork point is missing"))?;
        self.replace_root((core, state), kept.root, base);
        Ok(())
    }

    /// Makes a branch equal to another one, whose state becomes its fork point `base`.
    pub(crate) fn do_reset_to(
        &self,
        catalog: &mut Catalog,
        (core, state): (&Core, &mut State),
        (source, from): (&Core, &mut State),
        base: u64,
    ) -> Result<()> {
        self.keep_base(catalog, base, from)?;
        self.share(from, source);
        let old_base = std::mem::replace(&mut state.meta.base, base);
        self.replace_root((core, state), from.root.clone(), base);
        // The branch was changed already: it must not go on without its record.
        self.health.guard(self.drop_base(catalog, old_base))
    }

    /// Puts the root of the fork point `base` in place of a branch's own.
    fn replace_root(&self, (core, state): (&Core, &mut State), root: Root, base: u64) {
        self.refs.share(&root.link);
        let old = std::mem::replace(&mut state.root, root);
        self.share(state, core);
        state.cut = Some(base);
        state.resets += 1;
        self.reclaim.push(old);
        self.changed();
    }

    pub(crate) fn branch_infos(&self) -> Result<Vec<BranchInfo>> {
        let all = lock(&self.catalog).all()?;
        Ok(infos(all))
    }

    /// The root of the branch's fork point, pinned.
    pub(crate) fn base_root(&self, core: &Core) -> Result<Option<(Root, Pin)>> {
        let catalog = lock(&self.catalog);
        let base = read(&core.state).meta.base;
        let base = if base == 0 { None } else { catalog.base(base)? };
        Ok(base.map(|base| (base.root, self.pin())))
    }
}
