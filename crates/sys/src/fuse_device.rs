//! FUSE mounts: opening the device, mounting it, unmounting it.
//!
//! A process that may mount (root, or any user in its own user namespace) opens `/dev/fuse` and
//! mounts it directly. An ordinary user outside of a namespace needs the `fusermount3` helper of
//! the distribution.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{getegid, geteuid};

pub use crate::fuse_init::AnswerInit;
use crate::{Error, Result, descriptors, environment, fuse_init};

/// The device that every FUSE mount starts from.
pub const PATH: &str = "/dev/fuse";

/// How a mount should be.
#[derive(Clone, Debug)]
pub struct Placement<'a> {
    /// The directory to mount on.
    pub directory: &'a Path,
    /// What `findmnt` and `df` show as the source.
    pub source: &'a str,
    /// What they show after `fuse.` as the type.
    pub subtype: &'a str,
    /// Refuse writes.
    pub read_only: bool,
    /// Give access to every user, not only to the one that mounts. The kernel checks permissions
    /// either way.
    pub allow_other: bool,
    /// Honour set-id bits and file capabilities. Only root may ask for it.
    pub suid: bool,
    /// Honour device nodes. Only root may ask for it.
    pub dev: bool,
}

/// Mounts a FUSE file system and returns its device. Requests wait there until they are served.
///
/// If the kernel can wait for it, `answer` answers INIT before this returns. Otherwise, or without
/// `answer`, INIT is the first of the requests that wait.
///
/// Set-id bits and device nodes have no effect inside unless asked for.
///
/// # Errors
/// If the device is absent or not permitted, if the directory is not a directory, if neither the
/// kernel nor `fusermount3` lets this user mount (the advice says what is missing), or if `answer`
/// refused.
pub fn mount(placement: &Placement<'_>, answer: Option<AnswerInit<'_>>) -> Result<OwnedFd> {
    let directory = placement.directory;
    let about = fs::metadata(directory)
        .map_err(|why| Error::new(format!("cannot mount on {}", directory.display()), why))?;
    if !about.is_dir() {
        return Err(Error::new(format!("cannot mount on {}", directory.display()), Errno::NOTDIR));
    }
    let device = open()?;
    let options = format!(
        "fd={},rootmode={:o},user_id={},group_id={},default_permissions{}",
        device.as_raw_fd(),
        about.mode() & libc::S_IFMT,
        geteuid().as_raw(),
        getegid().as_raw(),
        if placement.allow_other { ",allow_other" } else { "" },
    );
    let options = CString::new(options)
        .map_err(|why| Error::new("the mount options hold a zero byte", io::Error::from(why)))?;
    let mut flags = MountFlags::NOATIME;
    flags.set(MountFlags::NOSUID, !placement.suid);
    flags.set(MountFlags::NODEV, !placement.dev);
    flags.set(MountFlags::RDONLY, placement.read_only);
    let kind = format!("fuse.{}", placement.subtype);
    let attach =
        || rustix::mount::mount(placement.source, directory, kind, flags, options.as_c_str());
    let mounted = match answer {
        Some(answer) if fuse_init::request_sync(&device) => {
            fuse_init::answer_during(&device, answer, attach)
        }
        _ => attach(),
    };
    match mounted {
        Ok(()) => Ok(device),
        Err(Errno::PERM) if placement.suid || placement.dev => {
            Err(Error::new(format!("cannot mount on {}", directory.display()), Errno::PERM).hint(
                "only root's mounts may honour set-id bits and devices: leave out --suid and --dev",
            ))
        }
        Err(Errno::PERM) => {
            drop(device);
            mount_through_helper(placement)
        }
        Err(why) => Err(Error::new(format!("cannot mount on {}", directory.display()), why)),
    }
}

/// Unmounts `directory` if nothing is open in it.
///
/// # Errors
/// `EBUSY` while a file or directory in it is open or in use in this mount namespace. Nothing has
/// changed then. Otherwise those of [`unmount`].
pub fn unmount_unused(directory: &Path) -> Result<()> {
    let what = || format!("cannot unmount {}", directory.display());
    match rustix::mount::unmount(directory, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => {
            unmount_through_helper(directory, &["-u"]).map_err(|why| Error::new(what(), why))
        }
        Err(why) => Err(Error::new(what(), why)),
    }
}

/// Unmounts `directory` at once. Open files stay usable until they are closed.
///
/// # Errors
/// If nothing is mounted there, or this user may not unmount it.
pub fn unmount(directory: &Path) -> Result<()> {
    let what = || format!("cannot unmount {}", directory.display());
    match rustix::mount::unmount(directory, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => {
            unmount_through_helper(directory, &["-u", "-z"]).map_err(|why| Error::new(what(), why))
        }
        Err(why) => Err(Error::new(what(), why)),
    }
}

/// Unmounts `directory` and aborts its connection: the users of open files get I/O errors.
///
/// # Errors
/// Those of [`unmount`].
pub fn unmount_by_force(directory: &Path) -> Result<()> {
    let flags = UnmountFlags::FORCE | UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    match rustix::mount::unmount(directory, flags) {
        Err(Errno::PERM) => unmount(directory),
        Err(why) => Err(Error::new(format!("cannot unmount {}", directory.display()), why)),
        Ok(()) => Ok(()),
    }
}

fn open() -> Result<OwnedFd> {
    let advice = |why: &io::Error| match why.kind() {
        io::ErrorKind::NotFound => {
            "load the FUSE module: modprobe fuse; in a container, pass --device /dev/fuse"
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not open it: chmod 0666 /dev/fuse, or run as root"
        }
        _ => "the kernel refuses FUSE here; see its log",
    };
    OpenOptions::new().read(true).write(true).open(PATH).map(OwnedFd::from).map_err(|why| {
        let advice = advice(&why);
        Error::new(format!("cannot open {PATH}"), why).hint(advice)
    })
}

/// Lets the helper mount. It sends the device over the socket that is its standard input.
fn mount_through_helper(placement: &Placement<'_>) -> Result<OwnedFd> {
    let what = || format!("cannot mount on {}", placement.directory.display());
    let helper = helper().ok_or_else(|| {
        Error::new(what(), Errno::PERM)
            .hint("an ordinary user needs the fusermount3 helper: apt install fuse3; or use `tine run`, or root")
    })?;
    let (ours, theirs) = UnixStream::pair().map_err(|why| Error::new(what(), why))?;
    // Commas and backslashes separate the helper's options.
    let source = placement.source.replace('\\', "\\\\").replace(',', "\\,");
    let subtype = placement.subtype;
    let mut options =
        format!("fsname={source},subtype={subtype},default_permissions,nosuid,nodev,noatime");
    if placement.read_only {
        options.push_str(",ro");
    }
    if placement.allow_other {
        options.push_str(",allow_other");
    }
    let child = environment::of_this_user(&mut Command::new(helper))
        .args(["-o", &options, "--"])
        .arg(placement.directory)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|why| Error::new(what(), why))?;
    let mut devices = descriptors::receive(&ours, &mut [0; 1])
        .map_err(|why| Error::new(what(), why))?
        .descriptors;
    drop(ours);
    let output = child.wait_with_output().map_err(|why| Error::new(what(), why))?;
    devices.pop().ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Error::new(what(), io::Error::other(said))
    })
}

fn unmount_through_helper(directory: &Path, flags: &[&str]) -> io::Result<()> {
    let helper = helper().ok_or(io::Error::from(Errno::PERM))?;
    let output = environment::of_this_user(&mut Command::new(helper))
        .args(flags)
        .arg("--")
        .arg(directory)
        // Its message is parsed below, so it must be in one language.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.ends_with("Device or resource busy") {
        Err(Errno::BUSY.into())
    } else {
        Err(io::Error::other(said))
    }
}

fn helper() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/bin", "/usr/local/bin"].map(PathBuf::from))
        .map(|directory| directory.join("fusermount3"))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cannot_be_mounted_on() {
        let file = std::env::current_exe().unwrap();
        let placement = Placement {
            directory: &file,
            source: "nothing",
            subtype: "nothing",
            read_only: false,
            allow_other: false,
            suid: false,
            dev: false,
        };
        let error = mount(&placement, None).unwrap_err();
        assert_eq!(error.errno(), libc::ENOTDIR);
        assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
    }

    #[test]
    fn nothing_mounted_is_an_error_that_names_the_directory() {
        let directory = std::env::temp_dir();
        let plain = directory.join("tine-sys-not-a-mount");
        fs::create_dir_all(&plain).unwrap();
        let error = unmount(&plain).unwrap_err();
        fs::remove_dir(&plain).unwrap();
        assert!(error.to_string().contains("tine-sys-not-a-mount"), "{error}");
    }
}
