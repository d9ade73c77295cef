//! Lengths and sums that overflow: shared content doubles at no cost, and the result must be that
//! of `std`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tine_values::{Bytes, OrdMap, Seq, Text, Tracker, Value};

const LEN_MAX: usize = isize::MAX as usize;

/// The message of the panic, if it panics.
fn panics<R>(work: impl FnOnce() -> R) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(work)).err()?;
    Some(match panic.downcast::<&str>() {
        Ok(text) => text.to_string(),
        Err(panic) => *panic.downcast::<String>().expect("a panic has a message"),
    })
}

fn overflows<R>(what: &str, work: impl FnOnce() -> R) {
    assert_eq!(panics(work).as_deref(), Some("capacity overflow"), "{what}");
}

/// A way to make a value longer, by name.
type Way<L> = (&'static str, fn(&mut L));

/// What these tests need of a value.
trait Long: Clone + Value + Eq {
    fn of(bytes: usize) -> Self;
    fn length(&self) -> usize;
    fn add(&mut self, other: &Self);
    fn part(&self, len: usize) -> Self;
    /// All other ways to make the value a little longer.
    fn ways() -> Vec<Way<Self>>;
}

impl<T: Clone + Eq + From<u8>> Long for Seq<T> {
    fn of(bytes: usize) -> Self {
        (0..bytes).map(|at| T::from(at as u8)).collect()
    }
    fn length(&self) -> usize {
        self.len()
    }
    fn add(&mut self, other: &Self) {
        self.append(&mut other.clone());
    }
    fn part(&self, len: usize) -> Self {
        self.slice(..len)
    }
    fn ways() -> Vec<Way<Self>> {
        vec![
            ("push", |seq| seq.push(T::from(1))),
            ("push_front", |seq| seq.push_front(T::from(1))),
            ("insert", |seq| seq.insert(seq.len() / 2, T::from(1))),
            ("insert at the end", |seq| seq.insert(seq.len(), T::from(1))),
            ("extend", |seq| seq.extend([T::from(1)])),
            ("splice", |seq| drop(seq.splice(5..6, [T::from(1), T::from(2)]))),
            ("splice at the end", |seq| drop(seq.splice(seq.len().., [T::from(1)]))),
        ]
    }
}

impl Long for Bytes {
    fn of(bytes: usize) -> Self {
        (0..bytes).map(|at| at as u8).collect()
    }
    fn length(&self) -> usize {
        self.len()
    }
    fn add(&mut self, other: &Self) {
        self.append(other);
    }
    fn part(&self, len: usize) -> Self {
        self.slice(..len)
    }
    fn ways() -> Vec<Way<Self>> {
        vec![
            ("push_slice", |bytes| bytes.push_slice(b"x")),
            ("append", |bytes| bytes.append(&Bytes::from(&b"x"[..]))),
            ("splice", |bytes| drop(bytes.splice(5..6, b"xy"))),
            ("splice at the start", |bytes| drop(bytes.splice(0..0, b"x"))),
        ]
    }
}

impl Long for Text {
    fn of(bytes: usize) -> Self {
        Text::from("tine".repeat(bytes.div_ceil(4))[..bytes].to_owned().as_str())
    }
    fn length(&self) -> usize {
        self.len()
    }
    fn add(&mut self, other: &Self) {
        self.append(other);
    }
    fn part(&self, len: usize) -> Self {
        self.slice(..len)
    }
    fn ways() -> Vec<Way<Self>> {
        vec![
            ("push_str", |text| text.push_str("x")),
            ("push", |text| text.push('x')),
            ("extend", |text| text.extend(["x"])),
            ("append", |text| text.append(&Text::from("x"))),
            ("insert_str", |text| text.insert_str(9, "x")),
            ("replace_range", |text| text.replace_range(5..6, "xy")),
            ("replace_range with much", |text| text.replace_range(5..6, &"x".repeat(5000))),
            ("write!", |text| std::fmt::Write::write_str(text, "x").unwrap()),
        ]
    }
}

fn doubles_until_it_overflows<L: Long>() {
    for start in [1, 21, 1000] {
        let mut value = L::of(start);
        let mut len = start;
        while len * 2 <= LEN_MAX {
            let same = value.clone();
            value.add(&same);
            len *= 2;
            assert_eq!(value.length(), len);
        }
        let before = value.clone();
        overflows("appending it to itself", || value.add(&before));
        assert!(value.length() == len && value == before, "it stays as it was");
        // Up to the greatest length, and no further.
        value.add(&before.part(LEN_MAX - len));
        assert_eq!(value.length(), LEN_MAX);
        for (what, longer) in L::ways() {
            let mut value = value.clone();
            overflows(what, || longer(&mut value));
            assert_eq!(value.length(), LEN_MAX, "{what} changed something");
        }
        let usage = value.usage();
        assert!(usage.total < 1 << 20 && usage.total == usage.shared + usage.exclusive);
        let mut tracker = Tracker::new();
        let added = tracker.add(&value);
        assert_eq!(added.new_bytes, usage.total);
        assert_eq!(tracker.add(&value).new_bytes, 0);
        assert_eq!(tracker.total_bytes(), usage.total);
        // It works like any other value.
        let head = value.part(start);
        assert!(head == L::of(start));
        assert_eq!(value.part(LEN_MAX / 3).length(), LEN_MAX / 3);
    }
}

#[test]
fn bytes_appended_to_themselves_end_as_a_vector_does() {
    doubles_until_it_overflows::<Bytes>();
}

#[test]
fn a_text_appended_to_itself_ends_as_a_string_does() {
    doubles_until_it_overflows::<Text>();
}

#[test]
fn a_sequence_appended_to_itself_ends_as_a_vector_does() {
    doubles_until_it_overflows::<Seq<u8>>();
    doubles_until_it_overflows::<Seq<u64>>();
}

/// A sequence of 2⁵³ times some items.
fn repeated<T: Clone>(items: impl IntoIterator<Item = T>) -> Seq<T> {
    let mut seq: Seq<T> = items.into_iter().collect();
    for _ in 0..53 {
        seq.append(&mut seq.clone());
    }
    seq
}

#[test]
fn items_without_a_size_and_large_ones_are_counted_in_the_same_way() {
    let mut units = repeated(std::iter::repeat_n((), 1000));
    let mut large = repeated(std::iter::repeat_n([7_u64; 200], 1000));
    overflows("units", || units.append(&mut units.clone()));
    overflows("large items", || large.append(&mut large.clone()));
    assert_eq!((units.len(), large.len()), (1000 << 53, 1000 << 53));
}

#[test]
fn positions_far_inside_are_found_and_changed() {
    let mut seq = repeated(0..1000_u32);
    let far = (1000 << 52) + 123;
    assert_eq!(seq[far], 123);
    seq.set(far, 9);
    seq.insert(far, 8);
    assert_eq!((seq[far], seq[far + 1], seq[far + 2]), (8, 9, 124));
    assert_eq!(seq.remove(far), 8);
    assert_eq!(
        (seq.len(), seq[seq.len() - 1], seq.iter().size_hint().0),
        (1000 << 53, 999, 1000 << 53)
    );
    assert_eq!(seq.range(far..far + 2).copied().collect::<Vec<_>>(), [9, 124]);
    assert_eq!(seq.split_off(far + 1).len(), (1000 << 53) - far - 1);
}

/// A key that is less than every key, including itself.
#[derive(Clone, Debug)]
struct Less;

impl PartialEq for Less {
    fn eq(&self, _: &Less) -> bool {
        false
    }
}
impl Eq for Less {}
impl PartialOrd for Less {
    fn partial_cmp(&self, other: &Less) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Less {
    fn cmp(&self, _: &Less) -> std::cmp::Ordering {
        std::cmp::Ordering::Less
    }
}

#[test]
fn a_map_of_keys_without_order_ends_like_the_others() {
    let mut map: OrdMap<Less, u32> = OrdMap::new();
    map.insert(Less, 1);
    for _ in 0..62 {
        map.append(&mut map.clone());
    }
    assert_eq!(map.len(), 1 << 62);
    overflows("a map", || map.append(&mut map.clone()));
    assert_eq!(map.len(), 1 << 62);
}
