//! The first exchange with the kernel, and the flags that a mount honours.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tine_fuse::{Device, Mount, MountOptions, mount_at};
use tine_sys::fuse_device::{self, AnswerInit, Placement};

use crate::branch::Workshop;
use crate::{Test, tests};

pub const TESTS: &[Test] = tests!(init:
    init_is_answered_before_mount_returns_where_the_kernel_waits_for_it
    a_mount_whose_init_waits_on_the_device_works
    a_refused_init_fails_the_mount_and_leaves_none
    an_answer_that_panics_fails_the_mount_and_leaves_none
    a_mount_that_fails_before_init_does_not_wait_for_it
    set_id_bits_and_devices_have_an_effect_only_where_root_asks_for_it
);

fn kernel_is_at_least(wanted: (u32, u32)) -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= wanted
}

fn placement<'a>(directory: &'a Path, subtype: &'a str) -> Placement<'a> {
    Placement {
        directory,
        source: "test",
        subtype,
        read_only: false,
        allow_other: false,
        suid: false,
        dev: false,
    }
}

fn is_mounted(directory: &Path) -> bool {
    tine_sys::mountinfo::device_number(directory).unwrap().is_some()
}

/// Serves `device`, writes a file through the mount and reads it back from the branch.
fn is_served(workshop: &Workshop, directory: &Path, device: Device) {
    let options = MountOptions::new("test");
    let mount = Mount::start(workshop.tree("main"), device, Some(directory), &options).unwrap();
    fs::write(directory.join("f"), b"through the mount").unwrap();
    mount.unmount().unwrap();
    mount.join();
    let tree = workshop.tree("main");
    let file = tree.lookup(tine_fs::ROOT, b"f").unwrap();
    assert_eq!(file.size, 17);
}

pub fn init_is_answered_before_mount_returns_where_the_kernel_waits_for_it() {
    let workshop = Workshop::new();
    let directory = workshop.make_directory("synchronous");
    let device = mount_at(&directory, &MountOptions::new("test")).unwrap();
    let negotiated = device.negotiated;
    assert_eq!(negotiated.is_some(), kernel_is_at_least((6, 18)), "{negotiated:?}");
    assert!(negotiated.is_none_or(|it| it.minor >= 31 && it.capabilities != 0), "{negotiated:?}");
    is_served(&workshop, &directory, device);
}

pub fn a_mount_whose_init_waits_on_the_device_works() {
    let workshop = Workshop::new();
    let directory = workshop.make_directory("asynchronous");
    let descriptor = fuse_device::mount(&placement(&directory, "tine.test"), None).unwrap();
    is_served(&workshop, &directory, Device::from(descriptor));
}

/// Mounts with `answer`. Where the kernel does not wait for an answer there is nothing to see.
fn mount_fails(answer: AnswerInit<'_>) -> Result<(), String> {
    if !kernel_is_at_least((6, 18)) {
        return Err("mount(2) waits for INIT since Linux 6.18".to_owned());
    }
    let workshop = Workshop::new();
    let directory = workshop.make_directory("refused");
    let refused = fuse_device::mount(&placement(&directory, "tine.test"), Some(answer));
    let error = refused.unwrap_err();
    assert!(error.to_string().contains(directory.to_str().unwrap()), "{error}");
    assert!(!is_mounted(&directory));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    Ok(())
}

pub fn a_refused_init_fails_the_mount_and_leaves_none() -> Result<(), String> {
    mount_fails(&mut |message| {
        let mut refusal = [16u32.to_ne_bytes(), (-libc::EPROTO).to_ne_bytes()].concat();
        refusal.extend(&message[8..16]);
        refusal
    })
}

pub fn an_answer_that_panics_fails_the_mount_and_leaves_none() -> Result<(), String> {
    // Without the message of a panic, which would look like a failure.
    mount_fails(&mut |_| std::panic::resume_unwind(Box::new("as this test wants it")))
}

pub fn a_mount_that_fails_before_init_does_not_wait_for_it() {
    let workshop = Workshop::new();
    let directory = workshop.make_directory("early");
    let start = Instant::now();
    let mut answer = |_: &[u8]| panic!("nothing was asked");
    // The kernel knows no file system without a name.
    let error = fuse_device::mount(&placement(&directory, ""), Some(&mut answer)).unwrap_err();
    assert_eq!(error.errno(), Errno::INVAL.raw_os_error());
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(!is_mounted(&directory));
}

/// What `id -u` from the branch and the null device from the branch come to for another user.
fn as_another_user(workshop: &Workshop, heed: bool) -> (String, bool) {
    let mounted = workshop.mount_with("main", |options| (options.suid, options.dev) = (heed, heed));
    assert_ne!(fs::metadata(mounted.path("id")).unwrap().mode() & 0o4000, 0);
    assert!(fs::metadata(mounted.path("null")).unwrap().file_type().is_char_device());
    let run = |script: &str| {
        let user = ["--reuid", "1", "--regid", "1", "--clear-groups", "sh", "-c", script];
        Command::new("setpriv").args(user).current_dir(mounted.path(".")).output().unwrap()
    };
    let user = String::from_utf8(run("./id -u").stdout).unwrap().trim().to_owned();
    let opened = run("cat null").status.success();
    mounted.close();
    (user, opened)
}

pub fn set_id_bits_and_devices_have_an_effect_only_where_root_asks_for_it() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("it takes root".to_owned());
    }
    let workshop = Workshop::new();
    fs::set_permissions(workshop.aside(), fs::Permissions::from_mode(0o755)).unwrap();
    let mounted = workshop.mount("main");
    mounted.sh("cp \"$(command -v id)\" id; chown 0:0 id; chmod 4755 id");
    mounted.sh("mknod null c 1 3; chmod 666 null");
    mounted.close();
    assert_eq!(as_another_user(&workshop, false), ("1".to_owned(), false));
    assert_eq!(as_another_user(&workshop, true), ("0".to_owned(), true));
    Ok(())
}
