//! What must hold for the whole process, mostly tried in a separate process.

mod child;

use std::os::unix::process::CommandExt;
use std::process::Command;

use child::in_child;
use tine_memory::{
    Baseline, Error, Feature, ForkMode, Image, PAGE, PersistentRegion, Probe, Region, SharedRegion,
    deny_executable_memory,
};

fn written_region() -> (Region, Vec<u8>) {
    let mut bytes = vec![3; 100 * PAGE];
    let mut region = Image::from_bytes(&bytes).unwrap().fork().unwrap();
    region.grow(150 * PAGE).unwrap();
    bytes.resize(150 * PAGE, 0);
    for page in (0..150).step_by(4) {
        region[page * PAGE] = 9;
        bytes[page * PAGE] = 9;
    }
    (region, bytes)
}

#[test]
fn no_memory_of_this_crate_is_executable() {
    let (mut region, _) = written_region();
    let fork = region.fork_by(ForkMode::Lazy).unwrap();
    let sealed = region.seal().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut found = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let hex = |text| usize::from_str_radix(text, 16).unwrap();
        let holds = |region: &Region| (hex(start)..hex(end)).contains(&(region.as_ptr() as usize));
        if line.contains("memfd:tine") || holds(&region) || holds(&fork) {
            found += 1;
            assert!(rest.starts_with("rw-"), "{line}");
        }
    }
    assert!(found >= 2, "{maps}");
    drop(sealed);
}

#[test]
fn after_deny_nothing_becomes_executable_and_regions_work() {
    if !in_child("after_deny_nothing_becomes_executable_and_regions_work", |_| ()) {
        return;
    }
    deny_executable_memory().unwrap();
    let (mut region, bytes) = written_region();
    let fork = region.fork().unwrap();
    assert!(fork[..] == bytes[..]);
    let access = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: the page belongs to the region; the call must be refused.
    let answer = unsafe { libc::mprotect(region.as_mut_ptr().cast(), PAGE, access) };
    let error = std::io::Error::last_os_error();
    assert_eq!((answer, error.raw_os_error()), (-1, Some(libc::EACCES)));
}

/// Makes `userfaultfd` fail with EPERM, as containers do.
fn forbid_userfaultfd() {
    const LOAD_CALL: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const ANSWER: u16 = 0x06; // BPF_RET | BPF_K
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut lines = [
        line(LOAD_CALL, 0, 0, 0),
        line(JUMP_IF_EQUAL, 0, 1, libc::SYS_userfaultfd as u32),
        line(ANSWER, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        line(ANSWER, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: lines.len() as u16, filter: lines.as_mut_ptr() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the filter is valid for the calls; both only restrict this process.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let thread_sync = libc::SECCOMP_FILTER_FLAG_TSYNC;
        let answer = libc::syscall(libc::SYS_seccomp, mode, thread_sync, &filter);
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    }
}

#[test]
fn without_userfaultfd_eager_paths_serve_and_lazy_ones_name_what_is_missing() {
    if !in_child("without_userfaultfd_eager_paths_serve_and_lazy_ones_name_what_is_missing", |_| ())
    {
        return;
    }
    forbid_userfaultfd();
    let probe = Probe::new();
    assert!(!probe.has(Feature::Userfaultfd) && !probe.has_windows(), "{probe}");
    assert!(probe.has(Feature::Kernel) && probe.has(Feature::PagemapScan), "{probe}");

    let missing = |error: Error| {
        assert!(
            matches!(error, Error::Unsupported { feature: Feature::Userfaultfd, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("container"), "{error}");
    };
    let (mut region, _) = written_region();
    for mode in [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer] {
        let mut fork = region.fork_by(mode).unwrap();
        assert!(fork[..] == region[..], "{mode:?}");
        fork[0] = 77;
        assert_eq!(region[0], 9);
        region[1] = 0;
    }
    region[5 * PAGE] = 200;
    missing(region.fork_by(ForkMode::Lazy).unwrap_err());
    missing(region.keep_warm().unwrap_err());
    region.reset().unwrap();
    missing(SharedRegion::new(region, 2).unwrap_err());

    let mut persistent = PersistentRegion::open(&vec![1_u8; 10 * PAGE], Vec::new()).unwrap();
    persistent[5 * PAGE] = 2;
    assert_eq!(persistent.commit().unwrap().bytes, PAGE as u64);
    assert_eq!(persistent.commit().unwrap().bytes, 0);
}

/// Gives up the privileges of root.
fn nobody(child: &mut Command) {
    // SAFETY: getuid has no effects.
    if unsafe { libc::getuid() } == 0 {
        child.uid(65534).gid(65534);
    }
}

/// Hides /proc from a program that is about to be run.
fn without_proc(child: &mut Command) {
    // SAFETY: between fork and exec, these are system calls alone, which concern the new process.
    unsafe {
        child.pre_exec(|| {
            let all = if libc::geteuid() == 0 { 0 } else { libc::CLONE_NEWUSER };
            let (none, private) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
            let (tmpfs, proc) = (c"tmpfs".as_ptr(), c"/proc".as_ptr());
            let done = libc::unshare(all | libc::CLONE_NEWNS) == 0
                && libc::mount(tmpfs, c"/".as_ptr(), none, private, none.cast()) == 0
                && libc::mount(tmpfs, proc, tmpfs, 0, none.cast()) == 0;
            if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
}

#[test]
fn without_proc_memory_is_made_and_what_needs_it_says_so() {
    let test = "without_proc_memory_is_made_and_what_needs_it_says_so";
    let mut probe = Command::new("true");
    without_proc(&mut probe);
    if let Err(error) = probe.status() {
        println!("skipped: {test}: /proc cannot be hidden here: {error}");
        return;
    }
    if !in_child(test, without_proc) {
        return;
    }
    assert!(!std::path::Path::new("/proc/self").exists());
    let named = |error: Error| {
        let named = matches!(error, Error::Unsupported { feature: Feature::PagemapScan, .. });
        assert!(named && error.to_string().contains("/proc is not mounted"), "{error}");
    };
    let mut region = Region::zeroed(100 * PAGE).unwrap();
    assert_eq!(region.fork().unwrap()[7], 0);
    region[7] = 1;
    let image = Image::from_bytes(&region).unwrap();
    let mut second = image.fork().unwrap();
    assert_eq!(second.fork().unwrap()[7], 1);
    second.reset().unwrap();
    second.grow(200 * PAGE).unwrap();
    second.rebase(&second.image().flatten().unwrap()).unwrap();
    assert_eq!(second.seal().unwrap().fork().unwrap()[7], 1);
    for mode in [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy] {
        named(region.fork_by(mode).unwrap_err());
    }
    named(region.seal().unwrap_err());
    named(region.reset().unwrap_err());
    named(region.usage().unwrap_err());
    named(region.keep_warm().unwrap_err());
    named(SharedRegion::new(second, 1).unwrap_err());
    assert_eq!(region[7], 1);
    let mut persistent = PersistentRegion::open(&vec![1_u8; 10 * PAGE], Vec::new()).unwrap();
    persistent[5] = 2;
    named(persistent.commit().unwrap_err());
}

#[test]
fn windows_work_without_privilege() {
    if !in_child("windows_work_without_privilege", nobody) {
        return;
    }
    // SAFETY: geteuid has no effects.
    assert_ne!(unsafe { libc::geteuid() }, 0);
    let (mut region, bytes) = written_region();
    let mut fork = region.fork_by(ForkMode::Lazy).unwrap();
    assert!(!fork.is_settled());
    let file = tempfile::tempfile().unwrap();
    fork.write_from(0..bytes.len(), &file, 0).unwrap();
    fork[7] = 1;
    region.read_at_into(0..bytes.len(), &file, 0).unwrap();
    assert!(region[..] == bytes[..] && fork[7] == 1);
    region.keep_warm().unwrap();
    region[0] = 1;
    region.reset().unwrap();
    assert_eq!(region[0], 3);
}

#[test]
fn a_limit_on_address_space_is_an_error_by_name() {
    if !in_child("a_limit_on_address_space_is_an_error_by_name", |_| ()) {
        return;
    }
    let limit = libc::rlimit { rlim_cur: 4 << 30, rlim_max: 4 << 30 };
    // SAFETY: the limit is valid for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let refused = Region::zeroed(8 << 30).unwrap_err();
    assert!(matches!(refused, Error::Reserve { bytes, .. } if bytes == 8 << 30), "{refused}");
    assert_eq!(Region::zeroed(1 << 30).unwrap()[9], 0);
}

#[test]
fn a_limit_on_data_on_locked_memory_or_on_files_is_named() {
    if !in_child("a_limit_on_data_on_locked_memory_or_on_files_is_named", |_| ()) {
        return;
    }
    Region::zeroed(1 << 20).unwrap();
    // SAFETY: the limits are valid for the calls, which only restrict this process.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut all = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        for (resource, named) in
            [(libc::RLIMIT_DATA, "`ulimit -d`"), (libc::RLIMIT_FSIZE, "`ulimit -f`")]
        {
            assert_eq!(libc::getrlimit(resource, &mut all), 0);
            let few = libc::rlimit { rlim_cur: 1 << 28, ..all };
            assert_eq!(libc::setrlimit(resource, &few), 0);
            let refused = match resource {
                libc::RLIMIT_DATA => Region::zeroed(1 << 30).map(|_| ()),
                _ => Image::builder(1 << 30).map(|_| ()),
            };
            assert_eq!(libc::setrlimit(resource, &all), 0);
            let refused = refused.unwrap_err();
            assert!(refused.to_string().contains(named), "{refused}");
        }
    }
}

#[test]
fn a_process_that_may_not_look_at_itself_any_more_goes_on_saving() {
    if !in_child("a_process_that_may_not_look_at_itself_any_more_goes_on_saving", nobody) {
        return;
    }
    let (shared, mut shards) = SharedRegion::new(written_region().0, 2).unwrap();
    // SAFETY: the call takes numbers. It is what a change of the user does.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }, 0);
    std::fs::File::open("/proc/self/mem").unwrap_err();
    let (mut sink, mut baseline) = (Vec::new(), Baseline::default());
    for round in 1..4 {
        shards[0].guard()[round] = 7;
        shared.save_changes(&mut sink, &mut baseline).unwrap();
        assert!(sink[..] == shared.snapshot().unwrap()[..sink.len()] && sink[round] == 7);
    }
}

/// Limits the process to `bytes` more address space than it has now.
fn allow_further(bytes: u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let used = pages.split(' ').next().unwrap().parse::<u64>().unwrap() * PAGE as u64;
    let limit = libc::rlimit { rlim_cur: used + bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is valid for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_leaves_the_region_as_it_was() {
    const LEN: usize = 128 << 20;
    const MIB: u64 = 1 << 20;
    if !in_child("what_does_not_fit_is_refused_by_name_and_leaves_the_region_as_it_was", |_| ()) {
        return;
    }
    let mut region = Region::zeroed(LEN).unwrap();
    region.fill(3);
    let is_whole = |region: &Region| region.iter().step_by(PAGE).all(|byte| *byte == 3);
    allow_further(64 * MIB);
    for mode in [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy] {
        let refused = region.fork_by(mode).unwrap_err();
        assert!(matches!(refused, Error::Reserve { .. }), "{mode:?}: {refused}");
        assert!(is_whole(&region), "{mode:?}");
    }
    assert!(matches!(region.seal(), Err(Error::Reserve { .. })));
    assert!(is_whole(&region));
    // A sealed region takes the place of the one before, and nothing beyond its own length
    // meanwhile.
    allow_further(LEN as u64 + 32 * MIB);
    region.seal().unwrap();
    assert!(is_whole(&region));

    region.fill(3);
    let (shared, mut shards) = SharedRegion::new(region, 1).unwrap();
    allow_further(32 * MIB);
    assert!(matches!(shared.snapshot(), Err(Error::Reserve { .. })));
    assert!(shards[0].guard().iter().step_by(PAGE).all(|byte| *byte == 3));
    allow_further(LEN as u64 + 32 * MIB);
    shared.snapshot().unwrap().write_to(std::io::sink()).unwrap();
    assert!(shards[0].guard().iter().step_by(PAGE).all(|byte| *byte == 3));
}

mod handlers {
    use std::sync::atomic::{AtomicUsize, Ordering};

    pub static CALLS: AtomicUsize = AtomicUsize::new(0);

    /// Puts a page of zeros where the fault was.
    pub extern "C" fn mend(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the kernel passes a valid structure; the page mapped over is the test's own.
        unsafe {
            let page = (*info).si_addr() as usize / 4096 * 4096;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            libc::mmap(page as *mut _, 4096, libc::PROT_READ, flags, -1, 0);
        }
    }

    pub fn install() {
        // SAFETY: the action is plain data and names a handler of the right signature.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = mend as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()), 0);
        }
    }

    /// Reads a page past the end of a file, which raises SIGBUS.
    pub fn fault() {
        use std::os::fd::AsRawFd;
        let file = tempfile::tempfile().unwrap();
        file.set_len(1).unwrap();
        let flags = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: a new mapping, read once past the end of the file and then unmapped.
        unsafe {
            let start =
                libc::mmap(std::ptr::null_mut(), 8192, flags.0, flags.1, file.as_raw_fd(), 0);
            assert_eq!(start.cast::<u8>().add(4096).read_volatile(), 0);
            libc::munmap(start, 8192);
        }
    }
}

#[test]
fn a_signal_that_is_not_about_regions_goes_to_whoever_handled_it_before() {
    use std::sync::atomic::Ordering;
    let name = "a_signal_that_is_not_about_regions_goes_to_whoever_handled_it_before";
    if !in_child(name, |_| ()) {
        return;
    }
    let check = || {
        let (mut region, bytes) = written_region();
        let fork = region.fork_by(ForkMode::Lazy).unwrap();
        assert!(fork[..] == bytes[..]);
    };
    handlers::install();
    check();
    assert_eq!(handlers::CALLS.load(Ordering::SeqCst), 0, "our faults are not theirs");
    handlers::fault();
    assert_eq!(handlers::CALLS.load(Ordering::SeqCst), 1);
    // Other code takes the signal and does not chain the handler before: the next window takes it
    // back.
    handlers::install();
    check();
    handlers::fault();
    assert_eq!(handlers::CALLS.load(Ordering::SeqCst), 2);
}

#[test]
fn a_child_process_has_its_own_view_and_does_not_reach_into_its_parent() {
    let name = "a_child_process_has_its_own_view_and_does_not_reach_into_its_parent";
    if !in_child(name, |_| ()) {
        return;
    }
    let (mut region, bytes) = written_region();
    let mut fork = region.fork_by(ForkMode::Lazy).unwrap();
    fork.settle().unwrap();
    // SAFETY: the child uses memory and system calls alone, and ends without unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut same = fork[..] == bytes[..];
        fork.fill(1);
        let grandchild = fork.fork_by(ForkMode::Lazy).unwrap();
        same &= grandchild.iter().all(|byte| *byte == 1);
        fork[0] = 2;
        same &= grandchild[0] == 1 && fork.usage().is_ok();
        // SAFETY: ends the process.
        unsafe { libc::_exit(if same { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    assert!(fork[..] == bytes[..] && region[..] == bytes[..]);
}

#[test]
fn a_child_process_is_told_that_it_did_not_inherit_memory_with_an_open_window() {
    let name = "a_child_process_is_told_that_it_did_not_inherit_memory_with_an_open_window";
    if !in_child(name, |_| ()) {
        return;
    }
    let (mut region, bytes) = written_region();
    let fork = region.fork_by(ForkMode::Lazy).unwrap();
    let (shared, mut shards) = SharedRegion::new(written_region().0, 2).unwrap();
    let snapshot = shared.snapshot().unwrap();
    shards[0].guard()[1] = 1;
    region[1] = 1;
    // SAFETY: the child uses memory and system calls alone, and ends without unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let not_here = |answer: Result<(), Error>| matches!(answer, Err(Error::NotInherited));
        let modes = [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy];
        let mut told = modes.into_iter().all(|mode| not_here(region.fork_by(mode).map(|_| ())));
        told &= not_here(region.settle()) && not_here(region.reset());
        told &= not_here(region.seal().map(|_| ())) && not_here(region.usage().map(|_| ()));
        told &= not_here(region.grow(1 << 30)) && not_here(region.keep_warm());
        told &= not_here(shared.snapshot().map(|_| ()));
        // What is frozen is inherited: a child can save it.
        let mut saved = Vec::new();
        told &= snapshot.write_to(&mut saved).is_ok() && saved == bytes;
        drop((region, fork, shared));
        // SAFETY: ends the process.
        unsafe { libc::_exit(if told { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    assert!(fork[..] == bytes[..] && region[1] == 1 && shards[0].guard()[1] == 1);
}

#[test]
fn a_warm_region_and_a_kept_one_go_on_in_a_child_process() {
    let name = "a_warm_region_and_a_kept_one_go_on_in_a_child_process";
    if !in_child(name, |_| ()) {
        return;
    }
    let (mut region, _) = written_region();
    region.keep_warm().unwrap();
    region.reset().unwrap();
    let bytes = region.to_vec();
    region[3] = 77;
    let mut persistent = PersistentRegion::open(&bytes, bytes.clone()).unwrap();
    persistent[5 * PAGE] = 5;
    persistent.commit().unwrap();
    // SAFETY: the child uses memory and system calls alone, and ends without unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut same = region.reset().is_ok() && region[..] == bytes[..];
        for round in 0..3 {
            region[round * 9 * PAGE] = 6;
            same &= region.reset().is_ok() && region[..] == bytes[..];
            persistent[round * 7 * PAGE] = 8;
            same &= persistent.commit().is_ok() && persistent.sink().clone() == persistent[..];
        }
        // SAFETY: ends the process.
        unsafe { libc::_exit(if same { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    region.reset().unwrap();
    assert!(region[..] == bytes[..]);
}

#[test]
fn a_child_process_of_the_same_process_id_is_told_from_its_parent() {
    if !in_child("a_child_process_of_the_same_process_id_is_told_from_its_parent", |_| ()) {
        return;
    }
    // SAFETY: the children use memory and system calls alone, and end without unwinding.
    unsafe {
        let forks = |work: &mut dyn FnMut() -> bool| {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(if work() { 0 } else { 1 });
            }
            let mut status = 0;
            libc::waitpid(child, &mut status, 0);
            status == 0
        };
        // Each is the first process of its namespace.
        let first = |flags, work: &mut dyn FnMut() -> bool| {
            if libc::unshare(flags) != 0 {
                println!("not run: no namespaces here: {}", std::io::Error::last_os_error());
                return true;
            }
            forks(&mut || libc::getpid() == 1 && work())
        };
        assert!(forks(&mut || {
            first(libc::CLONE_NEWUSER | libc::CLONE_NEWPID, &mut || {
                let (mut region, _) = written_region();
                region.keep_warm().unwrap();
                region.reset().unwrap();
                let bytes = region.to_vec();
                region[3] = 77;
                let same = first(libc::CLONE_NEWPID, &mut || {
                    (0..3).all(|round| {
                        region[round * 9 * PAGE] = 6;
                        region.reset().is_ok() && region[..] == bytes[..]
                    })
                });
                same && region[3] == 77
            })
        }));
    }
}

#[test]
fn a_region_offered_to_the_kernel_for_merging_can_grow_and_fork() {
    for mode in [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy] {
        let (mut region, _) = written_region();
        region.grow(200 * PAGE).unwrap();
        match region.allow_kernel_merging() {
            Ok(()) => {}
            Err(Error::Unsupported { feature: Feature::KernelMerging, .. }) => return,
            Err(error) => panic!("{error}"),
        }
        region[199 * PAGE] = 4;
        region.grow(300 * PAGE).unwrap();
        region[299 * PAGE] = 5;
        let fork = region.fork_by(mode).unwrap();
        assert_eq!((fork[0], fork[199 * PAGE], fork[299 * PAGE]), (9, 4, 5), "{mode:?}");
        assert!(fork[..] == region[..], "{mode:?}");
    }
}

#[test]
fn four_processes_over_one_image_hold_one_copy() {
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::os::unix::net::UnixStream;
    const BYTES: usize = 64 << 20;
    if std::env::var_os("TINE_MEMORY_CHILD").is_some() {
        // SAFETY: the parent left the socket at descriptor 3, which nothing else owns.
        let socket = unsafe { UnixStream::from_raw_fd(3) };
        let region = Image::receive(&socket).unwrap().fork().unwrap();
        assert!(region.iter().step_by(PAGE).all(|byte| *byte == 5));
        std::io::Write::write_all(&mut &socket, b"r").unwrap();
        std::io::Read::read_exact(&mut &socket, &mut [0]).unwrap();
        return;
    }
    let image = Image::builder(BYTES).unwrap().fill(|bytes| bytes.fill(5)).unwrap().seal().unwrap();
    let mut workers = Vec::new();
    for _ in 0..4 {
        let (here, there) = UnixStream::pair().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "four_processes_over_one_image_hold_one_copy", "--nocapture"]);
        child.env("TINE_MEMORY_CHILD", "1").stdout(std::process::Stdio::null());
        let fd = there.as_raw_fd();
        // SAFETY: dup2 is safe between fork and exec.
        unsafe {
            child.pre_exec(move || match libc::dup2(fd, 3) {
                3 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        };
        let child = child.spawn().unwrap();
        image.send(&here).unwrap();
        std::io::Read::read_exact(&mut &here, &mut [0]).unwrap();
        workers.push((child, here));
    }
    let mut total = 0;
    for (child, _) in &workers {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id())).unwrap();
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        total += pss.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024;
    }
    assert!(total > BYTES && total < BYTES + (40 << 20), "{total} bytes for 4 workers");
    for (mut child, socket) in workers {
        std::io::Write::write_all(&mut &socket, b"q").unwrap();
        assert!(child.wait().unwrap().success());
    }
}
