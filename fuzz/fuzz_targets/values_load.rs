//! Nodes from a hostile store: loading gives a sound value or an error, never a panic.

#![no_main]

use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use tine_values::persist::{NodeStore, Pool};
use tine_values::{HashMap, HashSet, OrdMap, OrdSet, Seq, Text};

/// Nodes cut out of the input: a length byte before each.
struct Hostile(Vec<Vec<u8>>);

impl NodeStore for Hostile {
    type Id = u64;
    type Error = Infallible;

    fn put(&mut self, node: &[u8]) -> Result<u64, Infallible> {
        self.0.push(node.to_vec());
        Ok(self.0.len() as u64 - 1)
    }

    fn get(&self, id: &u64) -> Result<Vec<u8>, Infallible> {
        Ok(usize::try_from(*id).ok().and_then(|at| self.0.get(at)).cloned().unwrap_or_default())
    }
}

fuzz_target!(|data: &[u8]| {
    let nodes = || {
        let mut rest = data;
        std::iter::from_fn(|| {
            let (len, after) = rest.split_first()?;
            let (node, after) = after.split_at(usize::from(*len).min(after.len()));
            rest = after;
            Some(node.to_vec())
        })
        .collect::<Vec<_>>()
    };
    if let Ok(seq) = Pool::new(Hostile(nodes())).load(&0, &Seq::<u32>::new()) {
        let read: Vec<_> = (0..seq.len()).map(|at| seq[at]).collect();
        assert!(seq.iter().eq(&read));
    }
    if let Ok(mut text) = Pool::new(Hostile(nodes())).load(&0, &Text::new()) {
        assert_eq!(text.chars().map(char::len_utf8).sum::<usize>(), text.len());
        text.insert_str(0, "a text that does not lie inline");
    }
    if let Ok(set) = Pool::new(Hostile(nodes())).load(&0, &OrdSet::<u16>::new()) {
        assert!(set.iter().is_sorted_by(|a, b| a < b));
    }
    if let Ok(set) = Pool::new(Hostile(nodes())).load(&0, &HashSet::<u16>::new()) {
        assert!(set.iter().all(|item| set.contains(item)));
    }
    let mut ord = Pool::<OrdMap<u16, u16>, _>::new(Hostile(nodes()));
    let _ = ord.read(&0, &7);
    if let Ok(mut map) = ord.load(&0, &OrdMap::new()) {
        assert!(map.keys().is_sorted_by(|a, b| a < b));
        map.insert(7, 7);
        assert_eq!(map.remove(&7), Some(7));
    }
    let like = HashMap::<u16, u16>::new();
    if let Ok(map) = Pool::new(Hostile(nodes())).load(&0, &like) {
        assert!(map.keys().all(|key| map.contains_key(key)));
    }
});
