use super::*;
use crate::device::MemoryDevice;
use crate::format::block::BlockAddr;
use crate::format::ids::{BranchId, ForkPointId, Generation, ReclaimId};
use crate::journal::group::Link;
use crate::options::Options;
use crate::recover::newest_superblock;
use crate::store::Store;
use crate::txn::Op;
use crate::txn::last_batch;
use std::collections::VecDeque;
use std::sync::Arc;

const SALT: u64 = 9;
const RING_BLOCK: BlockAddr = BlockAddr(7);

fn link(sequence: Sequence) -> Link {
    Link { salt: SALT, session: 0, sequence, chain: 3 }
}

fn ring(blocks: u64, head: u64, sequence: Sequence) -> Ring {
    let link = link(sequence);
    Ring { block: RING_BLOCK, blocks, head, tail: head, link, mark: None, covered: None }
}

/// A superblock after which replay begins at `mark`.
fn superblock(ring: &Ring, mark: &Mark) -> Superblock {
    Superblock {
        uuid: 1,
        checkpoint: 1,
        generation: Generation(1),
        salt: SALT,
        ring_block: ring.block,
        ring_blocks: ring.blocks,
        replay_block: mark.head,
        replay_sequence: mark.link.sequence,
        replay_chain: mark.link.chain,
        table_block: BlockAddr(0),
        table_bytes: 0,
        segments: 0,
        table_sum: 0,
        system: None,
        next_branch: BranchId(1),
        next_fork_point: ForkPointId(1),
        next_reclaim: ReclaimId(1),
    }
}

fn quiet() -> Options {
    Options { background: false, ..Options::default() }
}

/// A commit that fills this many blocks of the journal, but for less than one.
fn commit(blocks: u64) -> Record {
    let mut ops = Vec::new();
    let batch = last_batch(&mut ops);
    for n in 0..4 * blocks - 2 {
        batch.put(&n.to_be_bytes(), &[7; 1000]);
    }
    Record::Commit { branch: BranchId(1), ops }
}

fn write_at(disk: &MemoryDevice, block: BlockAddr, bytes: &[u8]) {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    disk.write_at(block.offset(), &padded).unwrap();
}

#[test]
fn only_a_close_mark_or_a_journal_never_written_to_is_a_clean_end() {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let end = || {
        let found = replay(&*disk, &newest_superblock(&*disk).unwrap()).unwrap();
        (found.records.len(), found.clean)
    };
    assert_eq!(end(), (0, true));
    store.create_branch("main").unwrap();
    store.sync().unwrap();
    assert_eq!(end(), (1, false), "a crash while the first checkpoint is the last");
    store.checkpoint().unwrap();
    assert_eq!(end(), (0, false), "a crash right behind a checkpoint");
    store.close().unwrap();
    assert_eq!(end(), (1, true));
}

#[test]
fn groups_of_any_length_come_back_from_a_ring_of_any_length_that_takes_what_fits() {
    for blocks in 5..16 {
        let disk = MemoryDevice::new();
        let mut ring = ring(blocks, 0, Sequence(40));
        // Where each live group begins, and how many blocks it took with the rest of the ring that
        // it left out.
        let mut live: VecDeque<(Mark, u64)> = VecDeque::new();
        for n in 0..200u64 {
            let records = [commit(1 + n * n / 3 % 4), Record::Delete { branch: BranchId(n) }];
            let group = group::encode(&records, &ring.link, Sequence(40));
            let needed = group.blocks();
            let before = Mark { head: ring.head, link: ring.link };
            let used: u64 = live.iter().map(|group| group.1).sum();
            assert_eq!(ring.used(), used, "ring of {blocks}, group {n}");
            let left_out = if ring.head + needed > blocks { blocks - ring.head } else { 0 };
            let fits = used + left_out + needed < blocks;
            let written = ring.write(&disk, &group, Sequence(40)).unwrap();
            assert_eq!(written, fits, "ring of {blocks} with {used} used, group {n} of {needed}");
            if written {
                live.push_back((before, left_out + needed));
            }
            let begins = live.iter().map(|group| group.0).chain((!written).then_some(before));
            for (first, begin) in begins.enumerate() {
                let found = replay(&disk, &superblock(&ring, &begin)).unwrap();
                let records = 2 * (live.len() - first);
                assert_eq!(found.records.len(), records, "ring of {blocks}, group {n}");
                let (head, link) = (found.ring.head % blocks, found.ring.link);
                assert_eq!((head, link), (ring.head % blocks, ring.link));
            }
            if !written || n % 5 == 0 {
                live.pop_front();
                ring.tail = live.front().map_or(ring.head, |group| group.0.head);
            }
        }
        let mut before_ring = [0; 2 * BLOCK_BYTES];
        disk.read_at(BlockAddr(RING_BLOCK.0 - 2).offset(), &mut before_ring).unwrap();
        assert!(before_ring.iter().all(|byte| *byte == 0), "written in front of the ring");
        assert!(disk.len().unwrap() <= (RING_BLOCK + blocks).offset());
    }
}

#[test]
fn a_later_group_that_calls_lost_records_durable_is_found_wherever_it_lies() {
    const BLOCKS: u64 = 600;
    for head in [0, 1, 255, 256, 344, 599, 600] {
        for distance in [0, 1, 254, 255, 256, 257, 343, 344, 345, 511, 512, 598, 599] {
            let ring = ring(BLOCKS, head, Sequence(20));
            let place = (head + distance) % BLOCKS;
            let disk = MemoryDevice::new();
            disk.set_len((RING_BLOCK + BLOCKS).offset()).unwrap();
            // Whether it is an error when a group of this many blocks lies there and calls what
            // lies below durable.
            let refused = |group_blocks: u64, durable: u64, salt: u64, within: u64| {
                let link = Link { salt, ..link(Sequence(30)) };
                let group = group::encode(&[commit(group_blocks)], &link, Sequence(durable));
                assert_eq!(group.blocks(), group_blocks);
                write_at(&disk, RING_BLOCK + place, &group.bytes);
                let refused = refuse_lost_records(&disk, &ring, within).is_err();
                disk.punch(BlockRun::new(RING_BLOCK + place, group_blocks).bytes()).unwrap();
                refused
            };
            let what = format!("{distance} blocks behind a break at {head}");
            assert!(refused(1, 21, SALT, BLOCKS), "{what}");
            assert!(refused(1, 25, SALT, u64::MAX / 2), "{what}");
            assert!(!refused(1, 20, SALT, BLOCKS), "{what}, and what it knew of is here");
            assert!(!refused(1, 19, SALT, BLOCKS), "{what}, and what it knew of is here");
            assert!(!refused(1, 21, SALT + 1, BLOCKS), "{what}, of another life");
            assert!(refused(1, 21, SALT, distance + 1), "{what}, the last one looked at");
            assert!(!refused(1, 21, SALT, distance), "{what}, beyond what is looked at");
            // A group never lies across the end of the ring.
            assert_eq!(refused(3, 21, SALT, BLOCKS), place + 3 <= BLOCKS, "{what}, of 3 blocks");
        }
    }
}

/// A group of two records whose first byte after the header, the kind of the first one, is none
/// that this version knows.
fn group_of_a_later_version(link: &Link, durable: Sequence) -> group::Encoded {
    let mut bytes = group::encode(&[commit(1), Record::Close], link, durable).bytes;
    bytes[group::HEADER_BYTES] = 200;
    group::seal(bytes, 0, link, 2, durable)
}

#[test]
fn a_whole_group_with_a_record_of_a_later_version_is_refused_and_not_taken_for_the_end() {
    let disk = MemoryDevice::new();
    let mut ring = ring(50, 4, Sequence(20));
    let begin = Mark { head: ring.head, link: ring.link };
    let known = group::encode(&[commit(1)], &ring.link, Sequence(20));
    assert!(ring.write(&disk, &known, Sequence(20)).unwrap());
    let place = RING_BLOCK + ring.head;
    let mut later = group_of_a_later_version(&ring.link, Sequence(21)).bytes;
    write_at(&disk, place, &later);
    let error = replay(&disk, &superblock(&ring, &begin)).unwrap_err();
    assert!(matches!(error, Error::Damaged { block, .. } if block == Some(place.0)), "{error}");
    // Torn, it is the end as any other.
    *later.last_mut().unwrap() ^= 1;
    write_at(&disk, place, &later);
    assert_eq!(replay(&disk, &superblock(&ring, &begin)).unwrap().records.len(), 1);
}

#[test]
fn a_later_group_proves_what_was_durable_whatever_its_records_say() {
    let disk = MemoryDevice::new();
    let later = group_of_a_later_version(&link(Sequence(30)), Sequence(25));
    write_at(&disk, RING_BLOCK + 10, &later.bytes);
    refuse_lost_records(&disk, &ring(50, 4, Sequence(20)), 50).unwrap_err();
}

#[test]
fn a_later_group_that_is_broken_itself_proves_nothing() {
    let disk = MemoryDevice::new();
    let mut bytes = group::encode(&[commit(2)], &link(Sequence(30)), Sequence(25)).bytes;
    bytes[5000] ^= 1;
    write_at(&disk, RING_BLOCK + 10, &bytes);
    refuse_lost_records(&disk, &ring(50, 4, Sequence(20)), 50).unwrap();
    bytes[5000] ^= 1;
    write_at(&disk, RING_BLOCK + 10, &bytes);
    let error = refuse_lost_records(&disk, &ring(50, 4, Sequence(20)), 50).unwrap_err();
    assert!(
        matches!(error, Error::Damaged { block, .. } if block == Some(RING_BLOCK.0 + 4)),
        "{error}"
    );
}

#[test]
fn what_follows_a_wrap_is_read_however_much_of_the_ring_was_left_out() {
    for left_out in 0..9 {
        let disk = MemoryDevice::new();
        let mut ring = ring(40, 40 - left_out, Sequence(20));
        let begin = Mark { head: ring.head, link: ring.link };
        for _ in 0..2 {
            let group = group::encode(&[commit(9)], &ring.link, Sequence(0));
            assert!(ring.write(&disk, &group, Sequence(0)).unwrap());
        }
        let found = replay(&disk, &superblock(&ring, &begin)).unwrap();
        assert_eq!((found.records.len(), found.ring.head), (2, 18), "{left_out} blocks left out");
    }
}

#[test]
fn a_group_across_the_end_of_the_ring_is_none() {
    for (head, taken) in [(17, 1), (18, 0)] {
        let disk = MemoryDevice::new();
        let ring = ring(20, head, Sequence(20));
        let group = group::encode(&[commit(3)], &ring.link, Sequence(0));
        write_at(&disk, RING_BLOCK + head, &group.bytes);
        let mark = Mark { head, link: ring.link };
        assert_eq!(replay(&disk, &superblock(&ring, &mark)).unwrap().records.len(), taken);
    }
}

/// A group of three records after this many, the second of which names a block at `addr`.
fn group_with_data(sequence: Sequence, addr: BlockAddr, sum: u32) -> Group {
    let run = DataRun { addr, sums: Arc::from([sum]), data: RunData::OnDevice };
    let map = Op::Map { map: Box::from(&b"m"[..]), block: 0, runs: vec![run] };
    let delete = |branch| Record::Delete { branch };
    let records = vec![
        delete(BranchId(1)),
        Record::Commit { branch: BranchId(1), ops: vec![map] },
        delete(BranchId(2)),
    ];
    Group { records, before: Mark { head: 0, link: link(sequence) } }
}

#[test]
fn data_is_looked_for_only_in_groups_that_nothing_calls_durable() {
    let disk = MemoryDevice::new();
    let (there, gone) = (BlockAddr(50), BlockAddr(51));
    write_at(&disk, there, &[5; BLOCK_BYTES]);
    let sum = block_checksum(&[5; BLOCK_BYTES]);
    let lost =
        |groups: &[Group], durable| first_without_data(&disk, groups, Sequence(durable)).unwrap();
    let whole =
        [group_with_data(Sequence(10), there, sum), group_with_data(Sequence(13), there, sum)];
    assert_eq!(lost(&whole, 0), None);
    let broken =
        [group_with_data(Sequence(10), there, sum), group_with_data(Sequence(13), gone, sum)];
    assert_eq!(lost(&broken, 0), Some(1));
    assert_eq!(lost(&broken, 15), Some(1), "its last record is not");
    assert_eq!(lost(&broken, 16), None);
    let early = [group_with_data(Sequence(2), gone, sum)];
    assert_eq!((lost(&early, 4), lost(&early, 5)), (Some(0), None));
}

#[test]
fn data_beyond_any_file_is_not_there() {
    let disk = MemoryDevice::new();
    let at = |addr| {
        let run = DataRun { addr: BlockAddr(addr), sums: Arc::from([0]), data: RunData::OnDevice };
        data_is_there(&disk, &run).unwrap()
    };
    let last = i64::MAX as u64 / BLOCK_BYTES as u64;
    assert_eq!([last, last + 1, 3 * (last / 2), u64::MAX].map(at), [false; 4]);
}
