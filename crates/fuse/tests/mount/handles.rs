//! Handles of files, and file systems that stand on a mount.

use std::fs;
use std::process::Command;

use tine_fs::{Fs, HostRecord, Imported, Kind, ROOT, Time};

use crate::branch::{Mounted, Workshop};
use crate::{Test, tests};

pub const TESTS: &[Test] = tests!(handles:
    a_handle_finds_its_file_after_the_cache_was_dropped_and_after_a_remount
    an_overlay_can_have_its_upper_layer_on_a_mount
    overlays_over_one_read_only_mount_share_its_cached_pages
);

/// The numbers of system calls, then what is asked: `name PATH` prints the handle of a path, `open
/// HANDLE` what the file or the path of the directory holds that a handle leads to.
const HANDLES: &str = r#"
    use strict; use warnings;
    my ($name_to_handle, $open_by_handle, $verb, $what) = @ARGV;
    if ($verb eq "name") {
        my ($handle, $mount) = (pack("Ii", 128, 0) . "\0" x 128, pack("i", 0));
        syscall($name_to_handle, -100, $what, $handle, $mount, 0) == 0 or die "$!";
        print unpack("H*", $handle);
    } else {
        open my $root, "<", "." or die "$!";
        my $found = syscall($open_by_handle, fileno $root, pack("H*", $what), 0);
        if ($found < 0) { print "error: $!"; exit }
        my $path = readlink "/proc/self/fd/$found";
        if (-d "/proc/self/fd/$found") { print $path =~ s|.*/||r; exit }
        open my $file, "<&=", $found or die "$!";
        print <$file>;
    }
"#;

fn handles(mounted: &Mounted, verb: &str, what: &str) -> String {
    let calls = [libc::SYS_name_to_handle_at, libc::SYS_open_by_handle_at].map(|it| it.to_string());
    let output = Command::new("perl")
        .args(["-e", HANDLES])
        .args(calls)
        .args([verb, what])
        .current_dir(mounted.path("."))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Opening a file by its handle and dropping caches takes root.
fn needs_root() -> Result<(), String> {
    let allowed = rustix::process::geteuid().is_root()
        && fs::OpenOptions::new().write(true).open("/proc/sys/vm/drop_caches").is_ok();
    if allowed { Ok(()) } else { Err("it takes root".to_owned()) }
}

/// Makes a file of a number that the host has given to several files, one after the other.
fn import(workshop: &Workshop, name: &[u8], content: &[u8]) {
    let fs = Fs::open(&workshop.store, workshop.store.branch("fork").unwrap()).unwrap();
    let time = Time { secs: 1, nanos: 1 };
    let size = content.len() as u64;
    let record = HostRecord {
        filesystem: 1,
        number: 77,
        size,
        mtime: time,
        ctime: time,
        birth: time,
        settled: true,
    };
    let (kind, xattrs) = (Kind::File, Vec::new());
    let file =
        Imported { kind, mode: 0o644, uid: 0, gid: 0, rdev: 0, size, atime: time, xattrs, record };
    fs.import(ROOT, name, &file, content).unwrap();
}

fn drop_caches() {
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
}

pub fn a_handle_finds_its_file_after_the_cache_was_dropped_and_after_a_remount()
-> Result<(), String> {
    needs_root()?;
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("mkdir -p d/e; echo text > d/e/f; echo other > g");
    mounted.close();
    workshop.store.fork("main", "fork").unwrap();
    import(&workshop, b"h", b"new\n");
    let mut mounted = workshop.mount("fork");
    let [f, e, g, h] = ["d/e/f", "d/e", "g", "h"].map(|path| handles(&mounted, "name", path));
    for _ in 0..2 {
        drop_caches();
        assert_eq!(handles(&mounted, "open", &f), "text\n");
        drop_caches();
        assert_eq!(handles(&mounted, "open", &e), "e");
        mounted.close();
        mounted = workshop.mount("fork");
        assert_eq!(handles(&mounted, "open", &f), "text\n");
    }
    mounted.sh("mv d/e/f moved; rm g");
    drop_caches();
    assert_eq!(handles(&mounted, "open", &f), "text\n");
    assert_eq!(handles(&mounted, "open", &g), "error: Stale file handle");
    mounted.close();
    // The number of `h` is given to another file.
    workshop.store.reset("fork", None).unwrap();
    import(&workshop, b"k", b"newer\n");
    let mounted = workshop.mount("fork");
    let k = handles(&mounted, "name", "k");
    assert_eq!(k.get(16..32), h.get(16..32), "the number is another: this tests nothing");
    drop_caches();
    assert_eq!(handles(&mounted, "open", &h), "error: Stale file handle");
    assert_eq!(handles(&mounted, "open", &k), "newer\n");
    assert_eq!(handles(&mounted, "open", &f), "text\n");
    mounted.close();
    Ok(())
}

pub fn an_overlay_can_have_its_upper_layer_on_a_mount() -> Result<(), String> {
    needs_root()?;
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let lower = workshop.aside().join("lower");
    fs::create_dir_all(lower.join("d/sub")).unwrap();
    for name in ["a", "b", "d/c", "d/sub/x"] {
        fs::write(lower.join(name), name).unwrap();
    }
    let merged = workshop.aside().join("merged");
    fs::create_dir(&merged).unwrap();
    let script = format!(
        r#"mkdir upper work
        mount -t overlay overlay -o lowerdir={0},upperdir=$PWD/upper,workdir=$PWD/work {1}
        cd {1}
        rm a; echo more >> b; mv b moved; rm -r d/sub; mkdir d/sub; echo y > d/sub/y
        mv d/c d/sub/c; ln d/sub/c linked; chmod 600 moved; echo new > new; mv new newer
        ls -A . d d/sub; cat moved linked newer
        cd /; umount {1}; cd "$OLDPWD""#,
        lower.display(),
        merged.display()
    );
    let said = mounted.sh(&script);
    assert_eq!(said, ".:\nd\nlinked\nmoved\nnewer\n\nd:\nsub\n\nd/sub:\nc\ny\nbmore\nd/cnew");
    // What is gone below is hidden by whiteouts: a, b and d/c.
    let whiteouts = mounted.sh("find upper -type c | sort; stat -c %t:%T upper/b");
    assert_eq!(whiteouts, "upper/a\nupper/b\nupper/d/c\n0:0");
    let again = format!(
        "mount -t overlay overlay -o lowerdir={0},upperdir=$PWD/upper,workdir=$PWD/work {1}; \
         ls -A {1} {1}/d/sub; umount {1}",
        lower.display(),
        merged.display()
    );
    let said = mounted.sh(&again);
    assert!(said.contains("d\nlinked\nmoved\nnewer\n") && said.ends_with("c\ny"), "{said}");
    mounted.close();
    Ok(())
}

pub fn overlays_over_one_read_only_mount_share_its_cached_pages() -> Result<(), String> {
    needs_root()?;
    const BYTES: u64 = 64 << 20;
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    fs::write(mounted.path("large"), vec![7; BYTES as usize]).unwrap();
    mounted.close();
    workshop.store.snapshot("main", "sealed").unwrap();
    let mounted = workshop.mount_with("sealed", |options| options.read_only = true);
    let overlays: Vec<_> = (0..3)
        .map(|number| {
            let place = workshop.aside().join(number.to_string());
            for part in ["upper", "work", "merged"] {
                fs::create_dir_all(place.join(part)).unwrap();
            }
            let merged = place.join("merged");
            let layers = format!(
                "lowerdir={},upperdir={},workdir={}",
                mounted.path("").display(),
                place.join("upper").display(),
                place.join("work").display()
            );
            let mut mount = Command::new("mount");
            mount.args(["-t", "overlay", "overlay", "-o", &layers]).arg(&merged);
            assert!(mount.status().unwrap().success());
            merged
        })
        .collect();
    // What was read through one is there for the others: they ask the server for nothing.
    assert_eq!(fs::read(overlays[0].join("large")).unwrap().len() as u64, BYTES);
    let resident = |path: &std::path::Path| {
        let output = Command::new("fincore").args(["-bno", "RES"]).arg(path).output();
        output.ok().and_then(|it| String::from_utf8(it.stdout).ok()?.trim().parse::<u64>().ok())
    };
    let seen: Vec<_> = overlays.iter().map(|merged| resident(&merged.join("large"))).collect();
    for merged in &overlays {
        assert!(Command::new("umount").arg(merged).status().unwrap().success());
    }
    mounted.close();
    if seen.contains(&None) {
        return Err("fincore is not installed".to_owned());
    }
    assert_eq!(seen, [Some(BYTES); 3]);
    Ok(())
}
