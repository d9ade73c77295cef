//! What a user sees of images and regions.

use tine_memory::{Error, Feature, ForkMode, HUGE, Image, PAGE, Region};

const MODES: [ForkMode; 4] = [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy];

/// An image with data, a long hole, and data again.
fn image() -> Image {
    Image::builder(300 * PAGE + 17)
        .unwrap()
        .fill(|bytes| {
            for page in (0..100).chain(200..301) {
                bytes[page * PAGE] = (page + 1) as u8;
            }
        })
        .unwrap()
        .seal()
        .unwrap()
}

#[test]
fn a_fork_is_private_in_both_directions_whatever_the_mode() {
    for mode in MODES {
        let mut parent = image().fork().unwrap();
        for page in [0, 5, 6, 150, 299] {
            parent[page * PAGE + 1] = 7;
        }
        let mut child = parent.fork_by(mode).unwrap();
        assert!(parent[..] == child[..], "{mode:?}");
        parent[5 * PAGE] = 100;
        child[6 * PAGE] = 101;
        child[160 * PAGE] = 102;
        assert_eq!((parent[5 * PAGE], child[5 * PAGE]), (100, 6), "{mode:?}");
        assert_eq!((parent[6 * PAGE], child[6 * PAGE]), (7, 101), "{mode:?}");
        assert_eq!((parent[160 * PAGE], child[160 * PAGE]), (0, 102), "{mode:?}");
        assert_eq!((parent[150 * PAGE + 1], child[150 * PAGE + 1]), (7, 7), "{mode:?}");
    }
}

#[test]
fn descendants_to_any_depth_see_their_ancestors_as_they_were() {
    for mode in MODES {
        let mut family = vec![image().fork().unwrap()];
        for generation in 0..30_usize {
            let last = family.last_mut().unwrap();
            last[generation * 10 * PAGE] = 200 + generation as u8;
            let child = last.fork_by(mode).unwrap();
            last[generation * 10 * PAGE] = 1;
            family.push(child);
        }
        let youngest = family.last().unwrap();
        for generation in 0..30 {
            assert_eq!(youngest[generation * 10 * PAGE], 200 + generation as u8, "{mode:?}");
            assert_eq!(family[generation][generation * 10 * PAGE], 1, "{mode:?}");
        }
    }
}

#[test]
fn a_parent_may_go_before_its_children() {
    for mode in MODES {
        let mut parent = image().fork().unwrap();
        parent.fill(9);
        let mut child = parent.fork_by(mode).unwrap();
        drop(parent);
        let grandchild = child.fork_by(mode).unwrap();
        drop(child);
        assert!(grandchild.iter().all(|byte| *byte == 9), "{mode:?}");
    }
}

#[test]
fn reset_goes_back_to_the_image_and_costs_nothing_twice() {
    for mode in MODES {
        let mut region = image().fork().unwrap();
        region.fill(3);
        let mut fork = region.fork_by(mode).unwrap();
        region.reset().unwrap();
        assert_eq!(
            (region[PAGE], region[150 * PAGE], fork[PAGE]),
            match mode {
                ForkMode::Layer => (3, 3, 3),
                _ => (2, 0, 3),
            }
        );
        fork.reset().unwrap();
        fork.reset().unwrap();
        let usage = fork.usage().unwrap();
        assert_eq!((usage.exclusive, usage.pending), (0, 0), "{mode:?}");
    }
}

#[test]
fn a_sealed_region_is_an_image_of_what_it_held() {
    let mut region = image().fork().unwrap();
    for page in (0..60).chain([70, 80, 150, 250]) {
        region[page * PAGE + 9] = 9;
    }
    region[90 * PAGE] = 0; // A page of zeros now.
    region[91 * PAGE] = 92; // As it was.
    let expected = region.to_vec();
    let sealed = region.seal().unwrap();
    assert_eq!(region.usage().unwrap().dirty, 4 * PAGE as u64, "only patches are copied");
    region.fill(1);
    let mut read = vec![0; sealed.len()];
    sealed.read_at(&mut read, 0).unwrap();
    assert!(read == expected);
    assert!(sealed.fork().unwrap()[..] == expected[..]);
    let flat = sealed.flatten().unwrap();
    assert!(flat.fork().unwrap()[..] == expected[..] && flat.vmas() <= 4);
    region.reset().unwrap();
    assert!(region[..] == expected[..]);
}

#[test]
fn a_region_grows_by_zeros_and_keeps_what_it_held() {
    for mode in MODES {
        let mut region = image().fork().unwrap();
        region[0] = 77;
        let neighbour = image().fork().unwrap();
        region.grow(2000 * PAGE).unwrap();
        assert_eq!((region.len(), region[0], region[299 * PAGE]), (2000 * PAGE, 77, 44));
        assert_eq!(region[1999 * PAGE], 0);
        region[1999 * PAGE] = 5;
        let mut fork = region.fork_by(mode).unwrap();
        fork.grow(5000 * PAGE).unwrap();
        assert_eq!((fork[0], fork[1999 * PAGE], fork[5000 * PAGE - 1]), (77, 5, 0), "{mode:?}");
        assert_eq!(neighbour[0], 1);
        assert!(matches!(fork.grow(PAGE), Err(Error::Length { .. })));
        region.reset().unwrap();
        assert_eq!(
            (region.len(), region[0]),
            (2000 * PAGE, if mode == ForkMode::Layer { 77 } else { 1 })
        );
    }
}

#[test]
fn a_terabyte_costs_nothing_until_it_is_written() {
    let mut region = Region::zeroed(1 << 40).unwrap();
    region[1 << 39] = 1;
    let fork = region.fork().unwrap();
    assert_eq!((fork[1 << 39], fork[(1 << 39) + 1], fork[0]), (1, 0, 0));
}

#[test]
fn the_usage_of_a_region_of_many_parts_is_that_of_its_page_map() {
    let image = Image::builder(600 * HUGE).unwrap();
    (0..600).step_by(7).for_each(|at| image.write_at(&[1; 9 * PAGE], at * HUGE).unwrap());
    let mut region = image.seal().unwrap().fork().unwrap();
    (0..600).step_by(3).for_each(|at| region[at * HUGE + PAGE] = 2);
    let fork = region.fork_by(ForkMode::Lazy).unwrap();
    (0..600).step_by(5).for_each(|at| region[at * HUGE + PAGE] = 3);
    for region in [&region, &fork] {
        assert_eq!(region.usage().unwrap(), region.page_map().unwrap().usage());
    }
}

#[test]
fn a_reservation_beyond_the_address_space_is_refused_by_name() {
    let refused = Region::zeroed(1 << 60).unwrap_err();
    assert!(matches!(refused, Error::Reserve { .. }), "{refused}");
    assert!(refused.to_string().contains("address space"), "{refused}");
}

#[test]
fn forks_that_share_a_window_cost_no_copy_and_no_depth() {
    let mut region = Region::zeroed(100 * PAGE).unwrap();
    region.fill(1);
    let forks: Vec<_> = (0..40).map(|_| region.fork_by(ForkMode::Lazy).unwrap()).collect();
    for fork in &forks {
        assert_eq!(fork.usage().unwrap().pending, 100 * PAGE as u64);
        assert!(fork.iter().all(|byte| *byte == 1));
    }
}

#[test]
fn the_usage_of_a_region_counts_each_page_once() {
    let mut region = image().fork().unwrap();
    region[0] = 9;
    region[PAGE] = 9;
    std::hint::black_box((region[10 * PAGE], region[150 * PAGE]));
    let usage = region.usage().unwrap();
    assert_eq!(usage.total, 301 * PAGE as u64);
    assert_eq!((usage.exclusive, usage.dirty), (2 * PAGE as u64, 2 * PAGE as u64));
    assert!(usage.shared >= PAGE as u64, "{usage:?}");
    assert_eq!(usage.zero, 100 * PAGE as u64);
    let picture = region.page_map().unwrap().to_string();
    assert!(
        picture.contains("**") && picture.contains("0000") && picture.contains('='),
        "{picture}"
    );
}

#[test]
fn a_collapsed_image_is_read_through_huge_pages_and_a_write_copies_one_small_page() {
    const BYTES: usize = 8 * HUGE;
    let image = Image::builder(BYTES).unwrap().fill(|bytes| bytes.fill(4)).unwrap().seal().unwrap();
    // Readers hold pages for moments, as they do when a server collapses what it serves.
    let done = std::sync::atomic::AtomicBool::new(false);
    let collapsed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let fork = image.fork().unwrap();
                assert!(fork.iter().step_by(PAGE).all(|byte| *byte == 4));
            }
        });
        let collapsed = image.collapse();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        collapsed
    });
    let mut fork = image.fork().unwrap();
    assert!(fork.iter().all(|byte| *byte == 4));
    if let Err(error) = collapsed {
        // Without huge pages that is said by name, and the image is as good as before.
        assert!(matches!(error, Error::Unsupported { feature: Feature::Collapse, .. }), "{error}");
        return;
    }
    assert_eq!(fork.usage().unwrap().huge, BYTES as u64);
    fork[5 * HUGE + 9] = 1;
    let usage = fork.usage().unwrap();
    assert_eq!((usage.exclusive, usage.huge_lost), (PAGE as u64, HUGE as u64));
    assert!(image.fork().unwrap().iter().all(|byte| *byte == 4));
}

#[test]
fn an_image_is_sealed_while_other_threads_start_programs() {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let mut program = std::process::Command::new("/bin/true");
                // A directory makes the standard library fork rather than spawn.
                program.current_dir("/").status().unwrap();
            }
        });
        for round in 0..500_usize {
            let fill = |bytes: &mut [u8]| bytes.fill(round as u8 | 1);
            let image = Image::builder(64 * PAGE).unwrap().fill(fill).unwrap().seal().unwrap();
            assert_eq!(image.fork().unwrap()[63 * PAGE], round as u8 | 1);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_region_grows_page_by_page_for_as_long_as_there_is_room() {
    let before = tine_memory::mappings_in_use();
    let mut region = Region::zeroed(PAGE).unwrap();
    for pages in 2..70_000 {
        region.grow(pages * PAGE).unwrap();
        if pages.is_multiple_of(10_000) {
            region[(pages - 1) * PAGE] = 1;
        }
    }
    assert!(region.stats().vmas < 10, "{}", region.stats().vmas);
    assert!(tine_memory::mappings_in_use() < before + 1000);
    assert_eq!(region[39_999 * PAGE], 1);
}

#[test]
fn what_was_counted_is_kept_when_a_region_is_sealed_grown_or_rebased() {
    let mut region = Region::zeroed(100 * PAGE).unwrap();
    region.fill(1);
    let _fork = region.fork_by(ForkMode::Lazy).unwrap();
    region.fill(2);
    let before = region.stats().pages_copied + region.stats().pages_copied_ahead;
    assert!(before >= 90, "{before}");
    let counted = |region: &Region| {
        let stats = region.stats();
        stats.pages_copied + stats.pages_copied_ahead
    };
    let image = region.seal().unwrap();
    assert_eq!(counted(&region), before);
    region.rebase(&image.flatten().unwrap()).unwrap();
    assert_eq!(counted(&region), before);
}
