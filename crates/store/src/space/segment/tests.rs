use super::*;
use crate::device::MemoryDevice;
use crate::format::layout::segment_start;

const USABLE: u64 = SEGMENT_BLOCKS - SEGMENT_HEAD_BLOCKS;

/// A segment of which the host holds the first `chunks` chunks.
fn segment(chunks: u64) -> Segment {
    let mut segment = Segment::fresh(segment_start(0));
    if chunks > 0 {
        segment.mark_on_host(0..=chunks - 1);
    }
    segment
}

fn take(segment: &mut Segment, span: Span) {
    segment.take(&MemoryDevice::new(), span).unwrap();
}

fn find(segment: &mut Segment, wanted: u64) -> Option<Span> {
    segment.find(&MemoryDevice::new(), wanted).unwrap()
}

fn find_hole(segment: &mut Segment, wanted: u64) -> Option<Span> {
    segment.find_hole(&MemoryDevice::new(), wanted).unwrap()
}

/// A checkpoint begins, writes the segment's bitmap to the disk and is durable.
fn checkpoint(segment: &mut Segment, disk: &MemoryDevice) {
    segment.begin_cut();
    record(segment, disk);
    segment.end_cut();
}

fn record(segment: &mut Segment, disk: &MemoryDevice) -> Bits {
    let block = segment.next_bitmap();
    let bitmap = segment.record_cut(disk).unwrap();
    disk.write_at(block.offset(), &bitmap).unwrap();
    segment.entry.holes = segment.holes;
    let bits = read_bitmap(disk, segment.start, &segment.entry).unwrap();
    assert_eq!(u64::from(segment.entry.free), bits.zeros());
    bits
}

#[test]
fn a_new_segment_is_all_hole_and_what_the_host_holds_of_it_is_ready() {
    let mut segment = segment(0);
    assert_eq!((u64::from(segment.free), segment.ready()), (USABLE, 0));
    assert!(!segment.may_hold(1));
    assert_eq!(
        (find(&mut segment, 1), find_hole(&mut segment, USABLE)),
        (None, Some(Span { at: 2, blocks: USABLE }))
    );
    assert_eq!(
        find_hole(&mut segment, USABLE + 1),
        Some(Span { at: 2, blocks: USABLE }),
        "the longest there is"
    );
    assert_eq!(find_hole(&mut segment, USABLE + 1), None, "which is known from then on");
    assert_eq!(find_hole(&mut segment, USABLE), Some(Span { at: 2, blocks: USABLE }));

    segment.mark_on_host(1..=2);
    assert_eq!(
        [0, 1, 2, 3, 63].map(|chunk| segment.is_hole(chunk)),
        [true, false, false, true, true]
    );
    assert_eq!((u64::from(segment.free), segment.ready()), (USABLE, 512));
    assert_eq!(find(&mut segment, 512), Some(Span { at: 256, blocks: 512 }));
    assert_eq!(find_hole(&mut segment, 254), Some(Span { at: 2, blocks: 254 }));
    assert_eq!(find_hole(&mut segment, 255), Some(Span { at: 768, blocks: 256 }));
    segment.mark_on_host(0..=63);
    assert_eq!((segment.ready(), find_hole(&mut segment, 1)), (USABLE, None));
}

#[test]
fn what_is_taken_is_not_found_until_it_is_released() {
    let mut segment = segment(3);
    take(&mut segment, Span { at: 2, blocks: 554 });
    assert_eq!((u64::from(segment.free), segment.ready()), (USABLE - 554, 212));
    assert!(segment.may_hold(212) && !segment.may_hold(213));
    take(&mut segment, Span { at: 600, blocks: 8 });
    assert!(segment.may_hold(204), "nobody has looked yet");
    assert_eq!(
        find(&mut segment, 200),
        Some(Span { at: 608, blocks: 160 }),
        "the longest there is"
    );
    assert!(segment.may_hold(160) && !segment.may_hold(161));
    assert_eq!(find(&mut segment, 40), Some(Span { at: 556, blocks: 44 }));
    segment.release(Span { at: 600, blocks: 8 });
    assert_eq!((u64::from(segment.free), segment.ready()), (USABLE - 554, 212));
    assert!(segment.may_hold(212));
    assert_eq!(find(&mut segment, 212), Some(Span { at: 556, blocks: 212 }));
    assert_eq!(find_hole(&mut segment, USABLE).map(|span| span.at), Some(768));
    segment.release(Span { at: 2, blocks: 554 });
    assert_eq!(find(&mut segment, 766), Some(Span { at: 2, blocks: 766 }));
    take(&mut segment, Span { at: 102, blocks: 300 });
    assert_eq!(find(&mut segment, 100), Some(Span { at: 2, blocks: 100 }));
    assert!(segment.may_hold(366), "there is a longer one than what was asked for");
}

#[test]
fn before_its_bitmap_is_read_a_segment_counts_no_more_as_ready_than_there_is() {
    let entry = |free, holes| SegmentEntry { slot: None, free, holes: Chunks(holes), sum: 0 };
    assert_eq!(Segment::stored(segment_start(0), entry(1000, 0)).ready(), 1000);
    assert_eq!(
        Segment::stored(segment_start(0), entry(1000, 0b101)).ready(),
        1000 - 2 * CHUNK_BLOCKS
    );
    assert_eq!(Segment::stored(segment_start(0), entry(500, 0b101)).ready(), 0);
}

#[test]
fn a_bitmap_is_recorded_as_of_the_cut_in_each_slot_by_turns() {
    let disk = MemoryDevice::new();
    let mut segment = segment(1);
    let set = |segment: &mut Segment, (at, blocks), used, author, cut| {
        segment.set_image(&disk, Span { at, blocks }, used, author, cut);
    };
    set(&mut segment, (2, 10), true, Author::Writer, false);
    assert!(segment.dirty && !segment.writing);
    segment.begin_cut();
    assert!(!segment.dirty && segment.writing);
    set(&mut segment, (30, 5), true, Author::Checkpoint, true);
    set(&mut segment, (20, 5), true, Author::Writer, true);
    set(&mut segment, (2, 4), false, Author::Writer, true);
    set(&mut segment, (40, 5), true, Author::Checkpoint, true);
    assert_eq!(segment.next_slot(), 0);
    let bits = record(&mut segment, &disk);
    let used = |bits: &Bits| (2..60).filter(|at| bits.get(*at)).collect::<Vec<u64>>();
    assert_eq!(used(&bits), (2..12).chain(30..35).chain(40..45).collect::<Vec<_>>());
    segment.end_cut();
    assert!(segment.dirty && !segment.writing);

    segment.begin_cut();
    assert_eq!(segment.next_slot(), 1);
    let bits = record(&mut segment, &disk);
    assert_eq!(used(&bits), (6..12).chain(20..25).chain(30..35).chain(40..45).collect::<Vec<_>>());
    segment.end_cut();
    assert_eq!(segment.next_slot(), 0);
    assert!(!segment.dirty && !segment.writing);
    set(&mut segment, (50, 1), true, Author::Checkpoint, true);
    assert!(!segment.dirty && segment.writing);

    // In the next session: what was recorded is busy, and nothing else.
    let mut loaded = Segment::stored(segment.start, segment.entry);
    loaded.mark_on_host(0..=0);
    assert_eq!(loaded.find(&disk, 211).unwrap(), Some(Span { at: 45, blocks: 211 }));
    assert_eq!(u64::from(loaded.free), USABLE - 6 - 15);
}

#[test]
fn a_change_that_was_missed_because_the_bitmap_could_not_be_read_is_never_recorded_without_it() {
    for cut in [false, true] {
        let disk = MemoryDevice::new();
        let mut first = segment(1);
        checkpoint(&mut first, &disk);
        let bitmap = first.start.offset();
        let mut good = vec![0; BLOCK_BYTES];
        disk.read_at(bitmap, &mut good).unwrap();
        disk.write_at(bitmap, &[0xEE; BLOCK_BYTES]).unwrap();
        let mut segment = Segment::stored(first.start, first.entry);
        segment.set_image(&disk, Span { at: 2, blocks: 10 }, false, Author::Writer, cut);
        assert!(segment.record_cut(&disk).is_err(), "it cannot be read");
        disk.write_at(bitmap, &good).unwrap();
        segment.set_image(&disk, Span { at: 20, blocks: 10 }, true, Author::Writer, cut);
        assert!(segment.record_cut(&disk).is_err(), "the first change is not in it");
    }
}

#[test]
fn chunks_without_a_busy_block_are_idle_but_for_the_first_and_for_holes() {
    let mut segment = segment(4);
    assert_eq!([segment.idle_chunks(), segment.idle_chunks()], [[1, 2, 3], [1, 2, 3]]);
    take(&mut segment, Span { at: 2 * CHUNK_BLOCKS + 255, blocks: 1 });
    assert_eq!(segment.idle_chunks(), [1, 3]);
    take(&mut segment, Span { at: CHUNK_BLOCKS, blocks: 1 });
    take(&mut segment, Span { at: 3 * CHUNK_BLOCKS, blocks: 1 });
    assert_eq!([segment.idle_chunks(), segment.idle_chunks()], [[0; 0]; 2]);
    segment.release(Span { at: 3 * CHUNK_BLOCKS, blocks: 1 });
    assert_eq!(segment.idle_chunks(), [3]);
    take(&mut segment, Span { at: 3 * CHUNK_BLOCKS, blocks: 1 });
    assert!(segment.idle_chunks().is_empty());
    segment.mark_on_host(63..=63);
    assert_eq!(segment.idle_chunks(), [63]);
}

#[test]
fn a_chunk_is_thin_with_an_eighth_of_it_free_in_runs_that_are_worth_it() {
    let mut segment = segment(4);
    // In the first, two runs of 16; 31 free; 32 free; 32 free in runs of 15 and 17.
    for (at, len) in [(2, 206), (224, 16), (256, 225), (512, 224), (768, 100), (883, 124)] {
        take(&mut segment, Span { at, blocks: len });
    }
    assert_eq!(segment.thin_chunks(), [0, 2]);
    assert_eq!(
        Segment::stored(segment.start, segment.entry).thin_chunks(),
        [0; 0],
        "nobody reads a bitmap for it"
    );
}

#[test]
fn a_marked_chunk_is_punched_once_it_is_recorded_and_nobody_takes_it_meanwhile() {
    let disk = MemoryDevice::new();
    let mut segment = segment(64);
    take(&mut segment, Span { at: 2, blocks: USABLE });
    segment.set_image(&disk, Span { at: 2, blocks: USABLE }, true, Author::Writer, false);
    for (at, len) in [(512, 256), (300, 15), (320, 16), (768, 256)] {
        segment.release(Span { at, blocks: len });
        segment.set_image(&disk, Span { at, blocks: len }, false, Author::Writer, false);
    }
    checkpoint(&mut segment, &disk);
    assert_eq!(segment.begin_punching(&disk, 9).unwrap(), (Chunks::NONE, Vec::new()));
    let ready = segment.ready();
    (1..=3).for_each(|chunk| segment.mark_for_trim(chunk));
    assert_eq!(segment.ready(), ready - 256 - 31 - 256);
    assert_eq!(segment.begin_punching(&disk, 9).unwrap().0, Chunks::NONE, "not recorded yet");
    checkpoint(&mut segment, &disk);
    assert_eq!(
        segment.begin_punching(&disk, 1).unwrap(),
        (Chunks(0b10), vec![Span { at: 320, blocks: 16 }])
    );
    segment.punched(Chunks(0b10));
    segment.mark_on_host(3..=3);
    assert_eq!(
        segment.begin_punching(&disk, 9).unwrap(),
        (Chunks(0b100), vec![Span { at: 512, blocks: 256 }])
    );
    assert_eq!(segment.begin_punching(&disk, 9).unwrap().0, Chunks::NONE, "once");
    assert_eq!(
        find_hole(&mut segment, 17),
        Some(Span { at: 320, blocks: 16 }),
        "the other is going"
    );
    segment.punched(Chunks(0b100));
    assert_eq!(find_hole(&mut segment, 256), Some(Span { at: 512, blocks: 256 }));

    // The next session does not know whether they went. It need not read the bitmap before.
    let mut next = Segment::stored(segment.start, segment.entry);
    next.mark_holes_for_trim();
    let spans = vec![Span { at: 320, blocks: 16 }, Span { at: 512, blocks: 512 }];
    assert_eq!(next.begin_punching(&disk, 9).unwrap(), (Chunks(0b1110), spans));
}

#[test]
fn a_hole_that_is_taken_back_while_a_checkpoint_is_written_is_not_punched() {
    let disk = MemoryDevice::new();
    let mut segment = segment(4);
    segment.mark_for_trim(2);
    segment.begin_cut();
    record(&mut segment, &disk);
    segment.mark_on_host(2..=2);
    segment.end_cut();
    segment.mark_for_trim(2);
    assert_eq!(segment.begin_punching(&disk, 9).unwrap().0, Chunks::NONE);
    checkpoint(&mut segment, &disk);
    assert_eq!(
        segment.begin_punching(&disk, 9).unwrap(),
        (Chunks(0b100), vec![Span { at: 512, blocks: 256 }])
    );
}
