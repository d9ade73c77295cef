//! A store that lives on a simulated device, changes at random, and knows what it was promised is
//! durable.

use super::world::{BranchState, World, difference, read_world};
use super::{Content, Dice, block_key, numbered, read_content};
use std::collections::BTreeMap;
use std::sync::Arc;
use tine_store::{Branch, Options, ReadTxn, Result, SimulatedDevice, Store, WriteTxn};

/// The states that a run leads through, and which of them it may come back to when.
#[derive(Debug, Default)]
pub struct History {
    /// State after each change, oldest first, with the number of device changes before it was
    /// begun.
    issued: Vec<(usize, World)>,
    /// A number of device changes, after which this state was known to be durable.
    acknowledged: Vec<(usize, usize)>,
}

impl History {
    pub fn begin(world: World) -> History {
        History { issued: vec![(0, world)], acknowledged: vec![(0, 0)] }
    }

    pub fn issue(&mut self, at: usize, world: World) -> usize {
        self.issued.push((at, world));
        self.issued.len() - 1
    }

    pub fn acknowledge(&mut self, at: usize, state: usize) {
        if self.acknowledged.last().is_none_or(|(_, last)| *last < state) {
            self.acknowledged.push((at, state));
        }
    }

    pub fn states(&self) -> usize {
        self.issued.len()
    }

    /// The state that `found` equals, among those that a cut after `at` device changes may leave.
    pub fn prefix_at(&self, at: usize, found: &World) -> std::result::Result<usize, String> {
        let issued = self.issued.partition_point(|(began, _)| *began <= at);
        let known = self.acknowledged.partition_point(|(since, _)| *since <= at);
        let least = self.acknowledged[known - 1].1;
        let (allowed, rest) = (&self.issued[least..issued], &self.issued[..least]);
        if let Some(k) = allowed.iter().rposition(|(_, world)| world == found) {
            return Ok(least + k);
        }
        if let Some(k) = rest.iter().rposition(|(_, world)| world == found) {
            return Err(format!("state {k} came back, but state {least} was acknowledged"));
        }
        let nearest = |(_, world): &(usize, World)| difference(found, world);
        let all: Vec<_> = allowed.iter().map(nearest).collect();
        Err(format!("it is none of the states {least} to {}: {all:#?}", issued - 1))
    }
}

/// A run under way.
pub struct Life {
    pub device: Arc<SimulatedDevice>,
    pub history: History,
    options: Options,
    store: Option<Store>,
    dice: Dice,
    readers: Vec<(ReadTxn, Content)>,
    /// The last change of each branch.
    written: BTreeMap<String, usize>,
    names: u64,
    stamp: u64,
}

impl Life {
    /// Opens the store on the device; what it does follows from the seed.
    pub fn begin(device: Arc<SimulatedDevice>, options: &Options, seed: u64) -> Result<Life> {
        let store = Store::open_on(device.clone(), options)?;
        let world = read_world(&store)?;
        Ok(Life {
            device,
            history: History::begin(world),
            options: options.clone(),
            store: Some(store),
            dice: Dice(seed),
            readers: Vec::new(),
            written: BTreeMap::new(),
            names: seed % 1_000_000 * 1000,
            stamp: seed << 20,
        })
    }

    /// Not when closing or opening the store again failed.
    pub fn is_open(&self) -> bool {
        self.store.is_some()
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("a life has its store")
    }

    fn now(&self) -> &World {
        &self.history.issued.last().expect("a history has a first state").1
    }

    fn issue(&mut self, world: World) -> usize {
        self.history.issue(self.device.changes(), world)
    }

    fn pick(&mut self) -> String {
        let at = self.dice.roll(self.now().len() as u64) as usize;
        self.now().keys().nth(at).cloned().expect("there is always a branch")
    }

    /// A branch that takes writes, if the first one picked does.
    fn pick_open(&mut self) -> Option<String> {
        let name = self.pick();
        (!self.now()[&name].sealed).then_some(name)
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("b{}", self.names)
    }

    /// One random step. The state that it leads to counts as issued before it is begun.
    pub fn step(&mut self) -> Result<()> {
        match self.dice.roll(44) {
            0..16 => self.change_one(),
            16..19 => self.change_two(),
            19..23 => self.fork(),
            23..25 => self.delete(),
            25 => self.rename(),
            26..28 => self.reset(),
            28..31 => self.sync_one(),
            31..34 => self.all_durable(Store::sync),
            34..37 => self.all_durable(Store::checkpoint),
            37 => self.all_durable(Store::reclaim_all),
            38 => {
                let steps = 1 + self.dice.roll(6) as usize;
                self.store().reclaim_some(steps).map(drop)
            }
            39 => self.change_mind(),
            40..42 => self.read(),
            42 => self.stop_reading(),
            _ => self.reopen(),
        }
    }

    fn all_durable(&mut self, by: impl Fn(&Store) -> Result<()>) -> Result<()> {
        by(self.store())?;
        self.history.acknowledge(self.device.changes(), self.history.states() - 1);
        Ok(())
    }

    fn sync_one(&mut self) -> Result<()> {
        let name = self.pick();
        self.store().branch(&name)?.sync()?;
        if let Some(state) = self.written.get(&name) {
            self.history.acknowledge(self.device.changes(), *state);
        }
        Ok(())
    }

    fn change_one(&mut self) -> Result<()> {
        let Some(name) = self.pick_open() else { return Ok(()) };
        let branch = self.store().branch(&name)?;
        let mut txn = branch.write()?;
        let content = self.change(&branch, &mut txn, self.now()[&name].content.clone())?;
        self.commit(&name, txn, content)
    }

    /// Two branches have their writers at once; either commits first.
    fn change_two(&mut self) -> Result<()> {
        let (Some(one), Some(two)) = (self.pick_open(), self.pick_open()) else { return Ok(()) };
        if one == two {
            return Ok(());
        }
        let branches = (self.store().branch(&one)?, self.store().branch(&two)?);
        let mut txns = (branches.0.write()?, branches.1.write()?);
        let first = self.change(&branches.0, &mut txns.0, self.now()[&one].content.clone())?;
        let second = self.change(&branches.1, &mut txns.1, self.now()[&two].content.clone())?;
        if self.dice.roll(2) == 0 {
            self.commit(&one, txns.0, first)?;
            self.commit(&two, txns.1, second)
        } else {
            self.commit(&two, txns.1, second)?;
            self.commit(&one, txns.0, first)
        }
    }

    /// A change that is given up leaves nothing behind.
    fn change_mind(&mut self) -> Result<()> {
        let Some(name) = self.pick_open() else { return Ok(()) };
        let branch = self.store().branch(&name)?;
        let mut txn = branch.write()?;
        self.change(&branch, &mut txn, Content::new())?;
        drop(txn);
        let blocks = 1 + self.dice.roll(20);
        branch.stage(&numbered(1, blocks)).map(drop)
    }

    fn commit(&mut self, name: &str, txn: WriteTxn<'_>, content: Content) -> Result<()> {
        let mut world = self.now().clone();
        let state = BranchState { content, ..(*world[name]).clone() };
        world.insert(name.into(), Arc::new(state));
        let issued = self.issue(world);
        txn.commit()?;
        self.written.insert(name.into(), issued);
        Ok(())
    }

    /// A few random operations, in the transaction and in the model.
    fn change(
        &mut self,
        branch: &Branch,
        txn: &mut WriteTxn<'_>,
        mut content: Content,
    ) -> Result<Content> {
        let dice = &mut self.dice;
        for _ in 0..1 + dice.roll(6) {
            self.stamp += 1000;
            let map = [b'~', dice.roll(2) as u8];
            let key = format!("entry {}", dice.roll(60)).into_bytes();
            match dice.roll(14) {
                0..6 => {
                    let value = vec![self.stamp as u8; dice.roll(900) as usize];
                    txn.put(&key, &value)?;
                    content.insert(key, value);
                }
                6..8 => {
                    txn.delete(&key)?;
                    content.remove(&key);
                }
                8..11 => {
                    // Small runs travel in the journal, large ones are written next to it.
                    let large = dice.roll(3) == 0;
                    let blocks = if large { 8 + dice.roll(30) } else { 1 + dice.roll(4) };
                    let at = dice.roll(100);
                    txn.map(&map, at, branch.stage(&numbered(self.stamp, blocks))?)?;
                    for n in 0..blocks {
                        let number = (self.stamp + n).to_le_bytes().to_vec();
                        content.insert(block_key(&map, at + n), number);
                    }
                }
                11 => {
                    let other = [b'~', 1 - map[1]];
                    let (from, to, blocks) = (dice.roll(100), dice.roll(100), 1 + dice.roll(40));
                    txn.share(&map, from..from + blocks, &other, to)?;
                    for n in 0..blocks {
                        match content.get(&block_key(&map, from + n)).cloned() {
                            Some(bytes) => content.insert(block_key(&other, to + n), bytes),
                            None => content.remove(&block_key(&other, to + n)),
                        };
                    }
                }
                _ => {
                    let (at, blocks) = (dice.roll(100), 1 + dice.roll(50));
                    txn.unmap(&map, at..at + blocks)?;
                    for block in at..at + blocks {
                        content.remove(&block_key(&map, block));
                    }
                }
            }
        }
        Ok(content)
    }

    fn fork(&mut self) -> Result<()> {
        let (from, new) = (self.pick(), self.new_name());
        let sealed = self.dice.roll(4) == 0;
        let mut world = self.now().clone();
        let content = world[&from].content.clone();
        let base = Some(Arc::new(content.clone()));
        world.insert(new.clone(), Arc::new(BranchState { content, base, sealed }));
        let issued = self.issue(world);
        match sealed {
            true => self.store().snapshot(&from, &new)?,
            false => self.store().fork(&from, &new)?,
        };
        self.written.insert(new, issued);
        Ok(())
    }

    fn delete(&mut self) -> Result<()> {
        let name = self.pick();
        if self.now().len() < 3 {
            return Ok(());
        }
        let mut world = self.now().clone();
        world.remove(&name);
        self.written.remove(&name);
        self.issue(world);
        self.store().delete(&name)
    }

    fn rename(&mut self) -> Result<()> {
        let (old, new) = (self.pick(), self.new_name());
        let mut world = self.now().clone();
        let branch = world.remove(&old).expect("the branch was picked");
        world.insert(new.clone(), branch);
        let issued = self.issue(world);
        self.store().rename(&old, &new)?;
        self.written.remove(&old);
        self.written.insert(new, issued);
        Ok(())
    }

    /// To another branch, or to its own fork point.
    fn reset(&mut self) -> Result<()> {
        let Some(name) = self.pick_open() else { return Ok(()) };
        let to = self.pick();
        let mut world = self.now().clone();
        let (target, to) = match (&world[&name].base, self.dice.roll(3)) {
            (Some(base), 0) => (Arc::clone(base), None),
            _ if name == to => return Ok(()),
            _ => (Arc::new(world[&to].content.clone()), Some(to)),
        };
        let state = BranchState { content: (*target).clone(), base: Some(target), sealed: false };
        world.insert(name.clone(), Arc::new(state));
        let issued = self.issue(world);
        self.store().reset(&name, to.as_deref())?;
        self.written.insert(name, issued);
        Ok(())
    }

    /// A reader begins, and sees what is there now until it ends.
    fn read(&mut self) -> Result<()> {
        if self.readers.len() < 3 {
            let name = self.pick();
            let reader = self.store().branch(&name)?.read()?;
            self.readers.push((reader, self.now()[&name].content.clone()));
        }
        Ok(())
    }

    fn stop_reading(&mut self) -> Result<()> {
        if self.readers.is_empty() {
            return Ok(());
        }
        let at = self.dice.roll(self.readers.len() as u64) as usize;
        let (reader, content) = self.readers.swap_remove(at);
        assert!(read_content(&reader)? == content, "a reader's view changed");
        Ok(())
    }

    fn reopen(&mut self) -> Result<()> {
        while !self.readers.is_empty() {
            self.stop_reading()?;
        }
        if let Some(store) = self.store.take() {
            store.close()?;
        }
        self.history.acknowledge(self.device.changes(), self.history.states() - 1);
        self.store = Some(Store::open_on(self.device.clone(), &self.options)?);
        self.written.clear();
        Ok(())
    }
}
