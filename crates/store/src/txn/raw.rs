//! Where raw keys lie in a branch's tree: apart from the entries of its tables.
//!
//! The key of a table's entry begins with `T` and a byte of 1 to 64. A raw key that begins with `T`
//! and a byte of 0 to 64 lies one step aside, under `T`, 0 and all that follows its `T`; every
//! other one lies under itself. So neither side can name what is the other's, and raw keys keep
//! their order.
//!
//! A store of before may hold raw keys of that kind under themselves. Where they are no table's
//! they are found there, and the next change of one moves it aside.

use crate::format::table_key::{NAME_BYTES_MAX, TABLE, name_in};
use std::borrow::Cow;

const NAME_MAX: u8 = NAME_BYTES_MAX as u8;

/// Where the entry of a raw key lies.
#[inline]
pub(crate) fn stored(key: &[u8]) -> Cow<'_, [u8]> {
    match key {
        [TABLE, 0..=NAME_MAX, ..] => Cow::Owned(aside(key)),
        _ => Cow::Borrowed(key),
    }
}

/// Where the entry of a raw key may lie in a store of before, if not where [`stored`] says.
#[inline]
pub(crate) fn formerly(key: &[u8]) -> Option<&[u8]> {
    match key {
        // It would be read as what lies aside of another key.
        [TABLE, 0, 0..=NAME_MAX, ..] => None,
        [TABLE, 0..=NAME_MAX, ..] if name_in(key).is_none() => Some(key),
        _ => None,
    }
}

/// The raw key whose entry lies under a key of the tree; `None` for a table's.
#[inline]
pub(crate) fn raw(stored: &[u8]) -> Option<Cow<'_, [u8]>> {
    match stored {
        [TABLE, 0, rest @ ..] if matches!(rest, [0..=NAME_MAX, ..]) => {
            Some(Cow::Owned([&[TABLE], rest].concat()))
        }
        [TABLE, ..] if name_in(stored).is_some() => None,
        _ => Some(Cow::Borrowed(stored)),
    }
}

/// What the keys of a map's extents begin with.
#[inline]
pub(crate) fn stored_map(map: &[u8]) -> Cow<'_, [u8]> {
    match map {
        [TABLE] | [TABLE, 0..=NAME_MAX, ..] => Cow::Owned(aside(map)),
        _ => Cow::Borrowed(map),
    }
}

/// The block number at which a map ends: the first whose key would be of another kind than those
/// before.
#[inline]
pub(crate) fn end_of_map(map: &[u8]) -> u64 {
    match map {
        [] => u64::from(TABLE) << 56,
        [TABLE] => u64::from(NAME_MAX + 1) << 56,
        _ => u64::MAX,
    }
}

fn aside(key: &[u8]) -> Vec<u8> {
    [&[TABLE, 0], &key[1..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;
    use crate::options::Options;
    use crate::store::Store;
    use crate::tree::map_key;
    use proptest::prelude::*;
    use std::ops::Bound;
    use std::sync::Arc;

    /// Keys that could be mistaken for one another.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(vec![0, 1, 2, 3, 63, 64, 65, b'S', TABLE, b'U', 128, 255]);
        let tail = prop::collection::vec(byte, 0..6);
        (prop::bool::weighted(0.8), tail).prop_map(|(table, tail)| match table {
            true => [&[TABLE], tail.as_slice()].concat(),
            false => tail,
        })
    }

    #[test]
    fn what_a_store_of_before_has_under_the_keys_themselves_is_found_and_changed() {
        let options = Options { background: false, ..Options::default() };
        let store = Store::create_on(Arc::new(MemoryDevice::new()), &options).unwrap();
        let main = store.create_branch("main").unwrap();
        let old: [&[u8]; 4] = [b"T", b"T-800", b"T1", b"T\x03\xff\xff\xff"];
        let mut txn = main.write().unwrap();
        for key in old {
            txn.put_at(key, b"before").unwrap();
        }
        txn.table("-8").unwrap().put("00", "row").unwrap();
        txn.commit().unwrap();
        let all = || -> Vec<_> {
            let read = main.read().unwrap();
            assert_eq!(read.tables().unwrap(), ["-8"]);
            assert_eq!(read.table("-8").unwrap().len().unwrap(), 1);
            let mut all: Vec<_> =
                read.range(Bound::Unbounded, Bound::Unbounded).map(Result::unwrap).collect();
            all.sort_by(|one, other| one.0.cmp(&other.0));
            all.iter().for_each(|(key, _)| assert!(read.get(key).unwrap().is_some()));
            all.into_iter().map(|(key, _)| key).collect()
        };
        let mut keys = old.map(<[u8]>::to_vec).to_vec();
        keys.sort();
        assert_eq!(all(), keys);

        let mut txn = main.write().unwrap();
        txn.put(b"T1", b"now").unwrap();
        assert_eq!(txn.get(b"T1").unwrap().as_deref(), Some(&b"now"[..]));
        txn.commit().unwrap();
        assert_eq!(main.read().unwrap().get(b"T1").unwrap().as_deref(), Some(&b"now"[..]));
        assert_eq!(all(), keys, "it is there once");
        let mut txn = main.write().unwrap();
        for key in old {
            txn.delete(key).unwrap();
            assert_eq!(txn.get(key).unwrap(), None);
        }
        txn.commit().unwrap();
        assert_eq!(all(), Vec::<Vec<u8>>::new());
    }

    proptest! {
        #[test]
        fn raw_keys_keep_their_order_and_are_no_tables(one in keys(), other in keys()) {
            let (first, second) = (stored(&one), stored(&other));
            prop_assert_eq!(one.cmp(&other), first.cmp(&second));
            prop_assert_eq!(name_in(&first), None);
            prop_assert_eq!(raw(&first), Some(Cow::Borrowed(one.as_slice())));
        }

        #[test]
        fn a_key_of_before_is_a_tables_or_found_or_read_as_another(key in keys()) {
            let found = match raw(&key) {
                None => true,
                Some(name) if *name == *key => *stored(&key) == *key || formerly(&key) == Some(&key),
                Some(name) => *stored(&name) == *key,
            };
            prop_assert!(found, "{:?}", key);
        }

        #[test]
        fn an_extent_lies_where_its_key_does(map in keys(), block in any::<u64>()) {
            if block < end_of_map(&map) {
                let key = map_key(&map, block);
                let lies = map_key(&stored_map(&map), block);
                prop_assert_eq!(&*stored(&key), lies.as_slice());
                prop_assert_eq!(raw(&lies), Some(Cow::Borrowed(key.as_slice())));
            }
        }
    }
}
