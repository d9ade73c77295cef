//! Values in a store: only new nodes are written, sharing comes back, and damage is an error.
#![cfg(feature = "serde")]

use std::convert::Infallible;

use tine_values::keep::{KeepError, Kept, MemoryStore, NodeStore, Pool};
use tine_values::{HashMap, OrdMap, Seq, Text, Value};

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
    // Two loads in one pool share; with a value that the pool does not know, rebasing does it.
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
    assert_eq!(pool.load(&id, &HashMap::new()).unwrap_err(), KeepError::Order);
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
    assert_eq!(pool.load(&(nodes + 5), &OrdMap::new()).unwrap_err(), KeepError::NotANode);
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
