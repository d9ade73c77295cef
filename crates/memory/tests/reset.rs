//! Regions that are reset in a loop.

use tine_memory::{Image, PAGE};

fn image() -> (Image, Vec<u8>) {
    let mut bytes = vec![0; 1000 * PAGE];
    for page in (0..1000).filter(|page| !(400..600).contains(page)) {
        bytes[page * PAGE] = (page % 251) as u8 + 1;
    }
    (Image::from_bytes(&bytes).unwrap(), bytes)
}

#[test]
fn a_warm_region_is_the_image_again_after_every_round() {
    let (image, bytes) = image();
    let mut region = image.fork().unwrap();
    region[5 * PAGE] = 99; // Written before it is kept warm.
    region.keep_warm().unwrap();
    let mut at = 1_usize;
    for round in 0..60 {
        for _ in 0..round % 13 * 10 {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            region[(at >> 33) % bytes.len()] = round as u8;
        }
        region.reset().unwrap();
        assert!(region[..] == bytes[..], "round {round}");
    }
}

#[test]
fn warm_pages_stay_while_they_are_used_and_go_when_they_are_not() {
    let (image, _) = image();
    let mut region = image.fork().unwrap();
    region.keep_warm().unwrap();
    for page in 0..300 {
        region[page * PAGE] = 1;
    }
    region.reset().unwrap();
    let usage = region.usage().unwrap();
    assert_eq!((usage.exclusive, usage.dirty), (300 * PAGE as u64, 0));
    region[PAGE] = 2;
    assert_eq!(region.usage().unwrap().dirty, PAGE as u64);
    region.reset().unwrap();
    assert_eq!(region.usage().unwrap().exclusive, PAGE as u64, "299 idle pages were dropped");
}

#[test]
fn a_warm_region_can_be_forked_sealed_and_grown_like_any_other() {
    let (image, bytes) = image();
    let mut region = image.fork().unwrap();
    region.keep_warm().unwrap();
    for step in 0..12 {
        region[step * 50 * PAGE] = 7;
        let fork = region.fork().unwrap();
        assert!(fork[..] == region[..]);
        match step % 4 {
            0 => region.reset().unwrap(),
            1 => drop(region.seal().unwrap()),
            2 => region.grow(region.len() + PAGE).unwrap(),
            _ => region.settle().unwrap(),
        }
    }
    let sealed = region.image().clone();
    region[3] = 3;
    region.reset().unwrap();
    assert!(region[..] == sealed.fork().unwrap()[..]);
    assert_eq!(bytes[5 * PAGE], region[5 * PAGE]);
}

#[test]
fn a_warm_region_that_is_hardly_mapped_finds_its_writes_among_pages_that_are_not_there() {
    let image =
        Image::builder(64 << 20).unwrap().fill(|bytes| bytes.fill(5)).unwrap().seal().unwrap();
    let mut region = image.fork().unwrap();
    region.keep_warm().unwrap();
    let pages = region.len() / PAGE;
    for round in 0..8 {
        // Reads of scattered pages, so that unmapped, read and written ones alternate.
        let read: usize =
            (round..pages).step_by(37).map(|page| usize::from(region[page * PAGE])).sum();
        assert_eq!(read, 5 * (round..pages).step_by(37).count());
        for page in (round * 3..pages).step_by(400 * (round + 1)) {
            region[page * PAGE + 1] = 6;
        }
        region.reset().unwrap();
        let usage = region.usage().unwrap();
        assert_eq!(usage.dirty, 0);
        assert!(region.iter().step_by(PAGE / 2).all(|byte| *byte == 5), "round {round}");
    }
}
