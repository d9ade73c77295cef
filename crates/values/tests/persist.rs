//! Values in a store: only new nodes are written, sharing comes back, and damage is an error.
#![cfg(feature = "serde")]

use std::convert::Infallible;

use tine_values::persist::{MemoryStore, NodeStore, Persist, PersistError, Pool};
use tine_values::{Bytes, HashMap, HashSet, OrdMap, OrdSet, Seq, Text, Value};

const COUNT: u64 = 50_000;

#[test]
fn saving_a_fork_writes_one_path_and_saving_again_writes_nothing() {
    let base: OrdMap<u64, String> = (0..COUNT).map(|key| (key, key.to_string())).collect();
    let mut fork = base.clone();
    fork.insert(777, "changed".into());
    let mut pool = Pool::new(MemoryStore::default());
    let first = pool.save(&base).unwrap();
    assert_eq!(pool.store().nodes(), base.usage().nodes);
    let before = pool.store().nodes();
    let second = pool.save(&fork).unwrap();
    assert_eq!(pool.store().nodes() - before, fork.usage().depth);
    assert_eq!(pool.save(&fork).unwrap(), second);
    assert_eq!(pool.store().nodes() - before, fork.usage().depth);
    assert_eq!(pool.read(&second, &777).unwrap().as_deref(), Some("changed"));
    assert_eq!(pool.read(&first, &777).unwrap().as_deref(), Some("777"));
    assert_eq!(pool.read(&first, &COUNT).unwrap(), None);
}

#[test]
fn loading_shares_what_the_pool_holds_and_rebase_shares_the_rest() {
    let base: Seq<u64> = (0..COUNT).collect();
    let mut fork = base.clone();
    fork.set(30_000, 0);
    let mut pool = Pool::new(MemoryStore::default());
    let (id, other) = (pool.save(&base).unwrap(), pool.save(&fork).unwrap());
    assert!(pool.load(&id, &Seq::new()).unwrap().ptr_eq(&base));
    assert!(pool.load(&other, &Seq::new()).unwrap().ptr_eq(&fork));

    pool.forget();
    let loaded = pool.load(&id, &Seq::new()).unwrap();
    let mut again = pool.load(&other, &Seq::new()).unwrap();
    assert!(loaded == base && again == fork && !loaded.ptr_eq(&base));
    pool.forget();
    // Two loads in one pool share. Rebasing shares with a value that the pool does not know.
    assert!(again.usage().exclusive < again.usage().total / 10);
    let freed = again.rebase_on(&base);
    assert!(freed > again.usage().total * 9 / 10);
    assert!(again == fork);
    let mut whole = loaded.clone();
    whole.rebase_on(&base);
    assert!(whole.ptr_eq(&base));
}

#[test]
fn a_hash_map_comes_back_with_its_hasher_only() {
    let map: HashMap<u64, u64> = (0..COUNT).map(|key| (key, key)).collect();
    let mut pool = Pool::new(MemoryStore::default());
    let id = pool.save(&map).unwrap();
    assert_eq!(pool.read(&id, &17, map.hasher()).unwrap(), Some(17));
    pool.forget();
    assert!(pool.load(&id, &map).unwrap() == map);
    assert_eq!(pool.load(&id, &HashMap::new()).unwrap_err(), PersistError::Order);
}

/// Saves a value and a fork of it. The fork costs less than a tenth, both are loaded shared, and
/// rebasing shares what was loaded with the original.
fn comes_back<V: Persist + PartialEq>(
    base: V,
    change: impl Fn(&mut V),
    save_and_load: impl Fn(&V, &V) -> (usize, [V; 2]),
) {
    let mut fork = base.clone();
    change(&mut fork);
    let (bytes, [loaded, mut again]) = save_and_load(&base, &fork);
    assert!(bytes < base.usage().total / 10, "{bytes} bytes for one change");
    assert!(loaded == base && again == fork && again != base);
    assert!(again.usage().exclusive < again.usage().total / 10);
    let freed = again.rebase_on(&base);
    assert!(freed > again.usage().total / 2, "{freed} bytes freed");
    assert!(again == fork);
}

/// Saves both, makes the pool forget them, and loads both.
macro_rules! save_and_load {
    () => {
        |base, fork| {
            let mut pool = Pool::new(MemoryStore::default());
            let id = pool.save(base).unwrap();
            let before = pool.store().bytes();
            let other = pool.save(fork).unwrap();
            let bytes = pool.store().bytes() - before;
            pool.forget();
            (bytes, [pool.load(&id, base).unwrap(), pool.load(&other, base).unwrap()])
        }
    };
}

#[test]
fn every_kind_of_value_comes_back_and_a_fork_costs_its_changes() {
    comes_back((0..COUNT).collect::<Seq<_>>(), |seq| _ = seq.set(30_000, 0), save_and_load!());
    let entries = || (0..COUNT).map(|key| (key, key * 3));
    comes_back(entries().collect::<OrdMap<_, _>>(), |map| _ = map.remove(&7), save_and_load!());
    comes_back(entries().collect::<HashMap<_, _>>(), |map| _ = map.insert(7, 0), save_and_load!());
    comes_back((0..COUNT).collect::<OrdSet<_>>(), |set| _ = set.remove(&7), save_and_load!());
    comes_back((0..COUNT).collect::<HashSet<_>>(), |set| _ = set.remove(&7), save_and_load!());
    let bytes = Bytes::from_iter((0..COUNT).map(|at| at as u8));
    comes_back(bytes, |bytes| _ = bytes.set(777, 1), save_and_load!());
    let text = Text::from("größer als eine Zeile ".repeat(2000).as_str());
    comes_back(text, |text| text.insert_str(22, "k"), save_and_load!());
}

#[test]
fn sets_in_a_store_are_asked_without_a_load() {
    let ord: OrdSet<String> = (0..COUNT).map(|item| item.to_string()).collect();
    let mut pool = Pool::new(MemoryStore::default());
    let id = pool.save(&ord).unwrap();
    assert_eq!(pool.contains(&id, "777"), Ok(true));
    assert_eq!(pool.contains(&id, "none"), Ok(false));
    let hash: HashSet<u64> = (0..COUNT).collect();
    let mut pool = Pool::new(MemoryStore::default());
    let id = pool.save(&hash).unwrap();
    let hasher = hash.hasher();
    assert_eq!(pool.contains(&id, &777, hasher), Ok(true));
    assert_eq!(pool.contains(&id, &COUNT, hasher), Ok(false));
}

#[test]
fn small_bytes_and_texts_that_lie_inline_come_back_too() {
    for text in ["", "a few letters"] {
        let (text, bytes) = (Text::from(text), Bytes::from(text.as_bytes()));
        let mut pool = Pool::new(MemoryStore::default());
        let id = pool.save(&text).unwrap();
        assert_eq!(pool.load(&id, &Text::new()).unwrap(), text);
        let mut pool = Pool::new(MemoryStore::default());
        let id = pool.save(&bytes).unwrap();
        assert_eq!(pool.load(&id, &Bytes::new()).unwrap(), bytes);
    }
}

#[test]
fn bytes_that_are_no_text_are_not_loaded_as_one() {
    let bytes = Bytes::from(&[0xff; 3000][..]);
    let mut pool = Pool::new(MemoryStore::default());
    let id = pool.save(&bytes).unwrap();
    let mut texts = Pool::new(pool.store().clone());
    assert_eq!(texts.load(&id, &Text::new()).unwrap_err(), PersistError::NotANode);
}

#[test]
fn leaves_longer_than_any_that_are_made_read_and_change_as_others_do() {
    let items = |range: std::ops::Range<u32>| range.collect::<Vec<u32>>();
    let mut store = MemoryStore::default();
    for leaf in [items(0..1000), items(1000..1010), items(1010..3000)] {
        store.put(&postcard::to_allocvec(&(0u32, leaf)).unwrap()).unwrap();
    }
    let children = vec![(1000u64, 0usize, 0u64), (10, 1000, 1), (1990, 1010, 2)];
    let id = store.put(&postcard::to_allocvec(&(1u32, children)).unwrap()).unwrap();
    let mut seq = Pool::new(store).load(&id, &Seq::<u32>::new()).unwrap();
    for at in 0..3000 {
        assert_eq!(seq.get(at as usize), Some(&at));
        seq.set(at as usize, at + 1);
    }
    seq.insert(500, 0);
    assert_eq!((seq[499], seq[500], seq[501], seq[3000]), (500, 0, 501, 3000));
    assert_eq!((0..3001).map(|_| seq.remove(0)).max(), Some(3000));
}

/// A store whose bytes tests can damage.
#[derive(Default)]
struct Damaged {
    inner: MemoryStore,
    flip: Option<(u64, usize)>,
}

impl NodeStore for Damaged {
    type Id = u64;
    type Error = Infallible;

    fn put(&mut self, node: &[u8]) -> Result<u64, Infallible> {
        self.inner.put(node)
    }

    fn get(&self, id: &u64) -> Result<Vec<u8>, Infallible> {
        let mut node = self.inner.get(id)?;
        let hit = self.flip.filter(|(which, _)| which == id);
        if let Some(byte) = hit.and_then(|(_, at)| node.get_mut(at)) {
            *byte ^= 0x41;
        }
        Ok(node)
    }
}

#[test]
fn damaged_and_missing_nodes_are_errors_or_other_values_but_never_panics() {
    let map: OrdMap<u16, u16> = (0..3000).map(|key| (key, key)).collect();
    let mut pool = Pool::new(Damaged::default());
    let id = pool.save(&map).unwrap();
    let nodes = pool.store().inner.nodes() as u64;
    let mut errors = 0;
    for node in (0..nodes).rev().step_by(5) {
        for at in 0..40 {
            pool.forget();
            pool.store_mut().flip = Some((node, at));
            match pool.load(&id, &OrdMap::new()) {
                Ok(loaded) => assert!(loaded.keys().is_sorted()),
                Err(_) => errors += 1,
            }
            let _ = pool.read(&id, &1234);
        }
    }
    assert!(errors > 100, "{errors} errors");
    pool.forget();
    assert_eq!(pool.load(&(nodes + 5), &OrdMap::new()).unwrap_err(), PersistError::NotANode);
}

#[test]
fn collections_look_like_those_of_std_in_json() {
    let (seq, map) = (Seq::from([1, 2]), OrdMap::from([("a".to_string(), 1)]));
    let text = Text::from("a text that is longer than what lies inline");
    let all = serde_json::to_string(&(&seq, &map, &text)).unwrap();
    assert_eq!(all, r#"[[1,2],{"a":1},"a text that is longer than what lies inline"]"#);
    let back: (Seq<i32>, OrdMap<String, i32>, Text) = serde_json::from_str(&all).unwrap();
    assert!(back.0 == seq && back.1 == map && back.2 == text);
    let diff = seq.diff(&Seq::from([1, 3, 2])).to_patch();
    let patch = serde_json::from_str(&serde_json::to_string(&diff).unwrap()).unwrap();
    assert_eq!(diff, patch);
}
