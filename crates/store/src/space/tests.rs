use super::reserve::{GROWTH_BLOCKS, RELEASE_BLOCKS_MIN};
use super::*;
use crate::device::MemoryDevice;
use crate::format::ids::Generation;
use crate::format::layout::{BLOCK_BYTES, segment_start};

const USABLE: u64 = super::USABLE.blocks;
/// What data leaves to others when nothing has changed.
const KEPT: u64 = RELEASE_BLOCKS_MIN + GROWTH_BLOCKS;
const NO_READERS: Readers = Readers { before: Epoch(u64::MAX), since: Vec::new() };

fn space() -> (Arc<MemoryDevice>, Space) {
    let disk = Arc::new(MemoryDevice::new());
    (Arc::clone(&disk), Space::empty(disk))
}

/// On a host with room for this many chunks.
fn space_of(chunks: u64) -> (Arc<MemoryDevice>, Space) {
    let (disk, space) = space();
    disk.set_capacity(Some(chunks * CHUNK_BLOCKS * BLOCK_BYTES as u64));
    (disk, space)
}

/// The block `at` in the first segment.
fn first(at: u64) -> BlockAddr {
    segment_start(0) + at
}

fn run(start: BlockAddr, blocks: u64) -> BlockRun {
    BlockRun::new(start, blocks)
}

fn chunks_on_host(disk: &MemoryDevice) -> u64 {
    disk.allocated_bytes().unwrap() / BLOCK_BYTES as u64 / CHUNK_BLOCKS
}

fn used(space: &Space) -> u64 {
    space.totals().used_blocks
}

fn ready(space: &Space) -> u64 {
    let state = lock(&space.state);
    assert_eq!(state.ready, state.segments.iter().map(Segment::ready).sum::<u64>());
    assert_eq!(state.room, state.segments.iter().map(Segment::room).sum::<u64>());
    state.ready
}

fn release(space: &Space, run: BlockRun) {
    space.free_after_readers(Freed { run, epoch: Epoch(0), birth: None });
    space.drain(&NO_READERS);
}

/// Takes data until there is no more; how much.
fn fill(space: &Space) -> u64 {
    let mut taken = 0;
    for blocks in [16, 1] {
        let mut preallocation = Preallocation::default();
        loop {
            let room = lock(&space.state).room;
            if space.allocate(&mut preallocation, blocks, Purpose::Data).is_err() {
                break;
            }
            taken += blocks;
            let state = lock(&space.state);
            let promised = state.reserve.floor(Purpose::Growth);
            assert!(state.room >= promised.min(room), "what was promised is taken");
            drop(state);
            space.release_preallocation(&mut preallocation);
            preallocation = Preallocation::default();
        }
    }
    taken
}

/// All is recorded, and the record is durable.
fn checkpoint(space: &Space, table: &TableImage) -> TableImage {
    space.cut();
    let table = space.write_cut(table).unwrap();
    space.finish_checkpoint();
    space.drain(&NO_READERS);
    table
}

#[test]
fn data_leaves_alone_what_was_promised_to_nodes_when_the_host_is_full() {
    const NODES: u64 = 300;
    let (_, space) = space_of(16);
    space.reserve(NODES * NODE_BLOCKS, Purpose::Growth).unwrap();
    let promised = NODES * NODE_BLOCKS + KEPT;
    assert_eq!(fill(&space), 16 * CHUNK_BLOCKS - SEGMENT_HEAD_BLOCKS - promised);
    assert_eq!(ready(&space), promised);
    lock(&space.state).reserve.cut();
    assert!(
        space.allocate(&mut Preallocation::default(), 1, Purpose::Data).is_err(),
        "the nodes are still to come"
    );
    for _ in 0..NODES {
        space.allocate_node().unwrap();
    }
    assert_eq!(fill(&space), 0);
    let kept = lock(&space.state).nodes.left();
    assert_eq!(ready(&space) + kept, KEPT, "with what the next nodes come from");
    space.finish_checkpoint();
    assert!(space.reserve(KEPT + 1, Purpose::Release).is_err());
    space.reserve(KEPT, Purpose::Release).unwrap();
    assert!(space.reserve(GROWTH_BLOCKS + 1, Purpose::Growth).is_err());
    space.reserve(GROWTH_BLOCKS, Purpose::Growth).unwrap();
}

#[test]
fn room_is_promised_as_long_as_there_is_any_and_the_largest_promise_holds() {
    // All that four chunks hold after the segment's head.
    let room = 4 * CHUNK_BLOCKS - SEGMENT_HEAD_BLOCKS;
    let (disk, space) = space_of(4);
    space.reserve(1, Purpose::Release).unwrap();
    assert_eq!(chunks_on_host(&disk), 1);
    space.reserve(room - RELEASE_BLOCKS_MIN, Purpose::Growth).unwrap();
    assert_eq!((chunks_on_host(&disk), ready(&space)), (4, room));
    assert!(space.reserve(room - RELEASE_BLOCKS_MIN + 1, Purpose::Growth).is_err());
    space.reserve(room, Purpose::Release).unwrap();
    assert!(space.reserve(room + 1, Purpose::Release).is_err());
    space.reserve(3, Purpose::Growth).unwrap();
    assert_eq!(fill(&space), 0, "all of it is promised");
    lock(&space.state).reserve.cut();
    space.finish_checkpoint();
    assert_eq!(fill(&space), room - KEPT, "the promise was kept or is void");
}

#[test]
fn the_checkpoint_being_written_and_the_changes_since_both_have_their_room() {
    let (_, space) = space_of(8);
    space.reserve(200, Purpose::Growth).unwrap();
    lock(&space.state).reserve.cut();
    // 200 for the checkpoint that is being written, the rest for the next but for what deletes
    // need.
    let room = 8 * CHUNK_BLOCKS - SEGMENT_HEAD_BLOCKS;
    assert!(space.reserve(room - 712 + 1, Purpose::Growth).is_err());
    space.reserve(room - 712, Purpose::Growth).unwrap();
    space.allocate_node().unwrap();
    // The first node has its place, and so much less is to come.
    assert!(space.reserve(room - 712 + 1, Purpose::Growth).is_err());
    space.reserve(room - 712, Purpose::Growth).unwrap();
    assert_eq!(fill(&space), 0);
}

#[test]
fn what_follows_in_an_arena_is_one_run_and_a_failure_gives_all_back() {
    let (_, space) = space_of(8);
    space.reserve(1500, Purpose::Growth).unwrap();
    lock(&space.state).reserve.cut();
    space.finish_checkpoint();
    let (mut one, mut other) = (Preallocation::default(), Preallocation::default());
    assert_eq!(space.allocate(&mut one, 10, Purpose::Data).unwrap(), [run(first(2), 10)]);
    assert_eq!(space.allocate(&mut one, 100, Purpose::Data).unwrap(), [run(first(12), 100)]);
    assert_eq!(space.allocate(&mut other, 10, Purpose::Data).unwrap(), [run(first(112), 10)]);
    assert_eq!(space.allocate(&mut one, 5, Purpose::Data).unwrap(), [run(first(128), 5)]);
    assert_eq!(
        space.allocate(&mut other, 10, Purpose::Data).unwrap(),
        [run(first(122), 6), run(first(192), 4)]
    );
    for preallocation in [&mut one, &mut other] {
        space.release_preallocation(preallocation);
        space.release_preallocation(preallocation);
    }
    assert_eq!(used(&space), 100 + 10 + 10 + 5 + 10);
    let before = (used(&space), ready(&space));
    assert!(space.allocate(&mut one, 8 * CHUNK_BLOCKS, Purpose::Data).is_err());
    space.release_preallocation(&mut one);
    assert_eq!(used(&space), before.0);
    assert!(ready(&space) >= before.1);
    let largest = 8 * CHUNK_BLOCKS - SEGMENT_HEAD_BLOCKS - KEPT - before.0;
    let runs = space.allocate(&mut one, largest, Purpose::Data).unwrap();
    assert_eq!(runs.iter().map(|run| run.blocks).sum::<u64>(), largest);
    assert_eq!(used(&space), before.0 + largest);
}

#[test]
fn what_no_segment_holds_in_one_piece_lies_in_several() {
    let (_, space) = space();
    let runs = space.allocate(&mut Preallocation::default(), USABLE + 10, Purpose::Data).unwrap();
    assert_eq!(runs, [run(segment_start(0) + 2, USABLE), run(segment_start(1) + 2, 10)]);
}

#[test]
fn the_host_is_asked_for_the_chunks_that_a_run_lies_in_and_no_others() {
    let (disk, space) = space();
    let mut preallocation = Preallocation::default();
    let mut take = |blocks| {
        space.allocate(&mut preallocation, blocks, Purpose::Data).unwrap();
        chunks_on_host(&disk)
    };
    assert_eq!([take(254), take(256), take(512), take(1024), take(1024)], [1, 2, 4, 8, 12]);
    assert_eq!(take(1025), 17);
    assert_eq!(disk.len().unwrap(), segment_start(1).offset());
    assert_eq!(ready(&space), 255);
}

#[test]
fn a_file_longer_than_its_segments_is_not_cut() {
    let (disk, space) = space();
    let long = segment_start(3).offset();
    disk.set_len(long).unwrap();
    space.allocate(&mut Preallocation::default(), 1, Purpose::Data).unwrap();
    assert_eq!(disk.len().unwrap(), long);
}

#[test]
fn a_run_for_the_checkpoint_lies_in_one_piece_and_takes_no_more_than_it_needs() {
    let (_, space) = space_of(4);
    let start = space.allocate_run(3).unwrap();
    assert_eq!((start, used(&space)), (first(2), 3));
    assert_eq!(space.allocate_run(20).unwrap(), first(5));
    assert_eq!(used(&space), 23);
    let room = ready(&space);
    assert!(space.allocate_run(3 * CHUNK_BLOCKS + 1).is_err());
    assert_eq!((used(&space), ready(&space)), (23, room));
    space.allocate_run(3 * CHUNK_BLOCKS).unwrap();
    assert!(space.allocate_run(room + 1).is_err());
    space.allocate_run(room).unwrap();
    assert_eq!(ready(&space), 0);
}

#[test]
fn nodes_lie_side_by_side_and_single_blocks_are_no_place_for_one() {
    let (_, space) = space_of(2);
    let mut places: Vec<BlockAddr> = (0..255).map(|_| space.allocate_node().unwrap()).collect();
    places.sort_unstable();
    assert!(places.windows(2).all(|two| two[1] - two[0] == NODE_BLOCKS));
    assert_eq!((places[0], used(&space)), (first(2), 510));
    assert!(space.allocate_node().is_err(), "the host is full");
    for place in &places {
        release(&space, run(*place, 1));
    }
    let error = space.allocate_node().unwrap_err().to_string();
    assert!(error.contains("single blocks"), "{error}");
    assert!(used(&space) <= 255 + 1, "it holds no more than what it looked at last");
    release(&space, run(places[254] + 1, 1));
    assert_eq!(space.allocate_node().unwrap(), places[254]);
}

#[test]
fn the_ring_gets_a_whole_segment_behind_its_head() {
    let (disk, space) = space();
    space.allocate(&mut Preallocation::default(), 16, Purpose::Data).unwrap();
    let segment = space.allocate_segment().unwrap();
    assert_eq!((segment, used(&space)), (run(segment_start(1) + 2, USABLE), USABLE + 16));
    assert_eq!(chunks_on_host(&disk), 65);
    assert_eq!(disk.len().unwrap(), segment_start(2).offset());
    let full = Space::empty(Arc::new(MemoryDevice::with_capacity(63 << 20)));
    assert!(full.allocate_segment().is_err());
}

#[test]
fn freed_room_is_found_again_in_whichever_segment_it_is() {
    let (disk, space) = space();
    let mut preallocation = Preallocation::default();
    for index in 0..3 {
        assert_eq!(
            space.allocate(&mut preallocation, USABLE, Purpose::Data).unwrap(),
            [run(segment_start(index) + 2, USABLE)]
        );
    }
    // Some is promised to others.
    release(&space, run(segment_start(1) + 9000, KEPT));
    let long = disk.len().unwrap();
    for index in [2, 0, 1, 0, 2] {
        let hole = run(segment_start(index) + 700, 1500);
        release(&space, hole);
        assert_eq!(
            space.allocate(&mut preallocation, 1500, Purpose::Data).unwrap(),
            [hole],
            "in segment {index}"
        );
    }
    assert_eq!(disk.len().unwrap(), long);
    // Where no run is long enough and the host is full, the longest is next best.
    disk.set_capacity(Some(0));
    assert_eq!(space.allocate_run(KEPT).unwrap(), segment_start(1) + 9000);
    let pieces = [(0, 50, 30), (1, 90, 31), (1, 400, 40), (2, 60, 39)];
    for (index, at, blocks) in pieces {
        release(&space, run(segment_start(index) + at, blocks));
    }
    let longest = || {
        let mut preallocation = Preallocation::default();
        let mut state = lock(&space.state);
        space.refill(&mut state, &mut preallocation, 41, None).unwrap();
        preallocation.take(41)
    };
    let longest: Vec<BlockRun> = (0..4).map(|_| longest()).collect();
    let sorted = [(1, 400, 40), (2, 60, 39), (1, 90, 31), (0, 50, 30)];
    assert_eq!(longest, sorted.map(|(index, at, blocks)| run(segment_start(index) + at, blocks)));
}

#[test]
fn blocks_that_the_journal_names_are_claimed_where_they_can_lie_and_nowhere_else() {
    let (disk, space) = space();
    let edge = first(SEGMENT_BLOCKS - 1);
    let outside = [
        (BlockAddr(0), 1),
        (BlockAddr(segment_start(0).0 - 1), 1),
        (first(0), 1),
        (first(1), 1),
        (first(1), 2),
        (edge, 2),
        (edge, 4),
        (first(2), USABLE + 1),
        (first(2), SEGMENT_BLOCKS + 1),
        (first(2), u64::MAX),
        (segment_start(SEGMENTS_MAX) + 2, 1),
        (BlockAddr::MAX, 1),
        (BlockAddr(u64::MAX - 1), 5),
    ];
    for (start, blocks) in outside {
        let run = run(start, blocks);
        assert!(space.claim(run).is_err(), "{run:?}");
    }
    assert_eq!((disk.len().unwrap(), used(&space)), (0, 0), "nothing was done for them");
    space.claim(run(first(2), 1)).unwrap();
    assert_eq!((chunks_on_host(&disk), ready(&space)), (1, 253));
    space.claim(run(edge, 1)).unwrap();
    assert_eq!((chunks_on_host(&disk), used(&space)), (2, 2));
    space.claim(run(segment_start(2) + 500, 20)).unwrap();
    assert_eq!(disk.len().unwrap(), segment_start(3).offset());
    assert_eq!((chunks_on_host(&disk), used(&space)), (4, 22));
    space.claim(run(segment_start(1) + 2, USABLE)).unwrap();
    assert_eq!((chunks_on_host(&disk), used(&space)), (68, 22 + USABLE));
    // All of it is named: a store that is opened on the next checkpoint has it.
    let table = checkpoint(&space, &TableImage::default());
    let loaded = Space::load(disk, &table).unwrap();
    assert_eq!(used(&loaded), 22 + USABLE + 1);
}

#[test]
fn blocks_in_a_hole_are_claimed_on_a_full_host_and_what_is_free_beside_them_is_not_ready() {
    let (disk, space) = space();
    space.claim(run(first(300), 4)).unwrap();
    let table = checkpoint(&space, &TableImage::default());
    space.free_after_checkpoint(Freed {
        run: run(first(300), 4),
        epoch: Epoch(0),
        birth: Some(Generation(0)),
    });
    let loaded = Space::load(disk.clone(), &table).unwrap();
    disk.set_capacity(Some(0));
    loaded.claim(run(first(3 * CHUNK_BLOCKS + 250), 10)).unwrap();
    let expected = ready(&space);
    assert_eq!(ready(&loaded), expected);
    assert!(fill(&loaded) <= expected);
}

#[test]
fn freed_blocks_wait_for_the_checkpoint_that_records_it_and_for_readers() {
    let (disk, space) = space();
    let mut preallocation = Preallocation::default();
    let all = space.allocate(&mut preallocation, USABLE, Purpose::Data).unwrap()[0];
    space.mark_allocated(all);
    let table = checkpoint(&space, &TableImage::default());
    let rest = |space: &Space| space.totals().free_blocks;
    let (taken, free) = (used(&space), rest(&space));
    assert_eq!(taken, USABLE + 1, "with the segment table");
    let part = Freed { run: run(all.start + 100, 50), epoch: Epoch(7), birth: Some(Generation(3)) };
    space.free_after_checkpoint(part);
    assert_eq!((used(&space), rest(&space)), (taken - 50, free + 50));
    space.drain(&NO_READERS);
    assert_eq!(ready(&space), 255 - 2, "it is not ready before that");
    let reader = Readers {
        before: Epoch(8),
        since: vec![crate::pins::Since { epoch: Epoch(5), generation: Generation(4) }],
    };
    space.cut();
    let table = space.write_cut(&table).unwrap();
    space.finish_checkpoint();
    let before = ready(&space);
    space.drain(&reader);
    assert_eq!(ready(&space) - before, 1, "a reader sees it; the old table nobody");
    space.drain(&NO_READERS);
    assert_eq!(ready(&space) - before, 51);
    let loaded = Space::load(disk, &table).unwrap();
    assert_eq!(used(&loaded), USABLE - 50 + 1);
}

#[test]
fn idle_chunks_go_but_for_some_and_when_they_are_recorded_the_host_gets_them() {
    let (disk, space) = space();
    let mut preallocation = Preallocation::default();
    // A block in use in the first segment's last chunk, and the second but for its first chunk
    // idle.
    let all = space.allocate(&mut preallocation, USABLE, Purpose::Data).unwrap()[0];
    let stays = run(first(SEGMENT_BLOCKS - 1), 1);
    space.mark_allocated(stays);
    disk.write_at(stays.start.offset(), &[9; BLOCK_BYTES]).unwrap();
    release(&space, BlockRun { blocks: USABLE - 1, ..all });
    assert_eq!((chunks_on_host(&disk), ready(&space)), (64, USABLE - 1));
    assert_eq!(space.mark_for_trim(10, TrimPolicy::Busy), 10);
    assert_eq!(space.mark_for_trim(100, TrimPolicy::Busy), 62 - 10 - 4);
    assert_eq!(space.mark_for_trim(100, TrimPolicy::Busy), 0);
    assert_eq!(ready(&space), USABLE - 1 - 58 * CHUNK_BLOCKS);
    assert_eq!(space.mark_for_trim(100, TrimPolicy::LongIdle), 1, "three are promised");
    assert_eq!(space.punch(100).unwrap(), 0, "not recorded yet");
    let table = checkpoint(&space, &TableImage::default());
    assert_eq!((space.punch(7).unwrap(), chunks_on_host(&disk)), (7, 64 - 7));
    assert_eq!((space.punch(100).unwrap(), space.punch(100).unwrap()), (52, 0));
    assert_eq!(chunks_on_host(&disk), 5);
    let mut kept = vec![0; BLOCK_BYTES];
    disk.read_at(stays.start.offset(), &mut kept).unwrap();
    assert_eq!(kept, [9; BLOCK_BYTES]);
    // What went is taken into use again, and in the next session goes once more.
    let loaded = Space::load(disk.clone(), &table).unwrap();
    assert_eq!((ready(&loaded), used(&loaded)), (ready(&space), 2));
    loaded.mark_holes_for_trim();
    assert_eq!(loaded.punch(100).unwrap(), 59);
    assert_eq!(space.allocate(&mut preallocation, 3000, Purpose::Data).unwrap().len(), 1);
    assert_eq!(ready(&space), USABLE - 2 - 59 * CHUNK_BLOCKS + 12 * CHUNK_BLOCKS - 3000);
}

#[test]
fn what_is_promised_is_not_marked_for_trim() {
    let (_, space) = space();
    let all = space.allocate(&mut Preallocation::default(), USABLE, Purpose::Data).unwrap()[0];
    release(&space, all);
    space.reserve(2000, Purpose::Growth).unwrap();
    assert_eq!(
        space.mark_for_trim(100, TrimPolicy::LongIdle),
        63 - (2000 + KEPT).div_ceil(CHUNK_BLOCKS) as usize
    );
    assert!(ready(&space) >= 2000 + KEPT);
}

#[test]
fn a_store_at_rest_gives_away_free_runs_beside_used_ones_but_for_a_share() {
    let half_free = || {
        let (disk, space) = space();
        let all = space.allocate(&mut Preallocation::default(), USABLE, Purpose::Data).unwrap()[0];
        for chunk in 0..64 {
            release(&space, run(all.start + chunk * CHUNK_BLOCKS + 100, 128));
        }
        assert_eq!(ready(&space), 8192);
        (disk, space)
    };
    let (_, space) = half_free();
    assert_eq!(space.mark_for_trim(100, TrimPolicy::Busy), 0);
    assert_eq!(space.mark_for_trim(7, TrimPolicy::Idle), 7);
    // What is promised and four chunks kept, and each that goes is counted as if it were all free.
    assert_eq!(
        space.mark_for_trim(100, TrimPolicy::Idle),
        (8192 - 7 * 128 - KEPT - 1024) as usize / 256
    );
    let (disk, space) = half_free();
    assert_eq!(space.mark_for_trim(100, TrimPolicy::LongIdle), (8192 - KEPT) as usize / 256);
    let bytes = disk.allocated_bytes().unwrap();
    checkpoint(&space, &TableImage::default());
    assert_eq!(space.punch(100).unwrap(), 29);
    assert_eq!(bytes - disk.allocated_bytes().unwrap(), 29 * 128 * BLOCK_BYTES as u64);
}

#[test]
fn bitmaps_that_were_read_on_the_way_show_that_enough_is_ready() {
    let (disk, space) = space();
    let all = space.allocate(&mut Preallocation::default(), USABLE, Purpose::Data).unwrap()[0];
    space.mark_allocated(all);
    // 40 free blocks in a hole, 200 on the host, one of which the table gets: what that says could
    // mean none there.
    for (at, blocks) in [(5 * CHUNK_BLOCKS + 10, 40), (6 * CHUNK_BLOCKS, 200)] {
        space.free_after_readers(Freed {
            run: run(first(at), blocks),
            epoch: Epoch(0),
            birth: Some(Generation(0)),
        });
    }
    space.drain(&NO_READERS);
    lock(&space.state).adjust(0, |segment| segment.mark_for_trim(5));
    let table = checkpoint(&space, &TableImage::default());
    let loaded = || Space::load(disk.clone(), &table).unwrap();
    disk.set_capacity(Some(0));
    assert_eq!(ready(&loaded()), 0);
    // Nodes need pairs.
    loaded().reserve(198, Purpose::Release).unwrap();
    assert!(loaded().reserve(199, Purpose::Release).is_err());
}

#[test]
fn the_share_that_is_kept_is_one_of_what_all_segments_hold() {
    let (_, space) = space();
    let mut preallocation = Preallocation::default();
    (0..3).for_each(|_| drop(space.allocate(&mut preallocation, USABLE, Purpose::Data).unwrap()));
    for chunk in 0..64 {
        release(&space, run(segment_start(1) + chunk * CHUNK_BLOCKS + 100, 128));
    }
    let kept = (3 * USABLE - 8192) / 16;
    assert_eq!(space.mark_for_trim(100, TrimPolicy::Idle) as u64, (8192 - KEPT - kept) / 256);
}

#[test]
fn blocks_outside_the_store_that_a_hostile_tree_named_are_freed_without_harm() {
    let (_, space) = space();
    space.allocate(&mut Preallocation::default(), 16, Purpose::Data).unwrap();
    let before = space.totals().free_blocks;
    let near = [segment_start(1), segment_start(1) + 5, segment_start(70)];
    for block in near.into_iter().chain([0, 600, 1 << 49].map(BlockAddr)) {
        release(&space, run(block, 3));
        space.free_at_checkpoint(run(block, 3));
        space.totals();
    }
    checkpoint(&space, &TableImage::default());
    assert_eq!(space.totals().free_blocks, before - 1);
}

#[test]
fn what_the_last_checkpoint_took_for_nodes_and_did_not_need_is_there_for_deletes() {
    for nodes in 1..=400 {
        let (_, space) = space_of(8);
        space.reserve(nodes * NODE_BLOCKS, Purpose::Growth).unwrap();
        fill(&space);
        lock(&space.state).reserve.cut();
        for _ in 0..nodes {
            space.allocate_node().unwrap();
        }
        space.allocate_run(1).unwrap_or_else(|e| panic!("after {nodes} nodes: {e}"));
        space.finish_checkpoint();
        let left = space.reserve(KEPT - NODE_BLOCKS, Purpose::Release);
        left.unwrap_or_else(|e| panic!("after {nodes} nodes: {e}"));
    }
}

#[test]
fn single_blocks_are_for_data_and_promised_to_no_node() {
    let (disk, space) = space();
    let all = space.allocate(&mut Preallocation::default(), USABLE, Purpose::Data).unwrap()[0];
    disk.set_capacity(Some(0));
    // Every other block is free, and a run that begins at an odd place.
    (0..2000).for_each(|n| release(&space, run(all.start + 2 * n, 1)));
    release(&space, run(all.start + 9001, 1001));
    assert_eq!((ready(&space), lock(&space.state).room), (3001, 1000));
    assert!(space.reserve(1001, Purpose::Release).is_err());
    space.reserve(1000 - KEPT, Purpose::Growth).unwrap();
    // Data gets all but what is promised.
    assert_eq!(fill(&space), 3001 - 1000);
    lock(&space.state).reserve.cut();
    space.finish_checkpoint();
    assert_eq!(fill(&space), 1000 - KEPT);
    let nodes = (0..).find(|_| space.allocate_node().is_err()).unwrap();
    assert_eq!((nodes, ready(&space)), (KEPT / NODE_BLOCKS, 0));
}

#[test]
fn all_bitmaps_are_read_before_room_is_refused() {
    let (disk, space) = space();
    let all = space.allocate(&mut Preallocation::default(), 40 * USABLE, Purpose::Data).unwrap();
    all.iter().for_each(|run| space.mark_allocated(*run));
    for index in 0..40 {
        let freed = run(segment_start(index) + 100, 50);
        space.free_after_readers(Freed { run: freed, epoch: Epoch(0), birth: Some(Generation(0)) });
    }
    space.drain(&NO_READERS);
    let table = checkpoint(&space, &TableImage::default());
    let loaded = Space::load(disk.clone(), &table).unwrap();
    disk.set_capacity(Some(0));
    loaded.reserve(40 * 50 - NODE_BLOCKS, Purpose::Release).unwrap();
    assert!(loaded.reserve(40 * 50, Purpose::Release).is_err());
}
