//! A store with a mounted branch, gone at the end of the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tine_fs::{Fs, NewRoot};
use tine_fuse::{Mount, MountOptions, mount_at};
use tine_store::{Device, MemoryDevice, Options, Store};

/// Moves this process where it may mount, or says why nothing can be mounted here.
pub fn obstacle() -> Option<String> {
    if let Err(error) = tine_sys::namespace::enter_private_mounts() {
        return Some(error.to_string());
    }
    let directory = tempfile::tempdir().ok()?;
    // Nobody serves it: the directory must not be touched, only unmounted.
    let device = match mount_at(directory.path(), &MountOptions::new("probe")) {
        Ok(device) => device,
        Err(error) => return Some(error.to_string()),
    };
    tine_sys::fuse_device::unmount(directory.path()).err().map(|error| {
        drop(device);
        error.to_string()
    })
}

/// A directory with a store in it.
pub struct Workshop {
    pub store: Store,
    directory: TempDir,
}

/// A branch of the store on a directory.
pub struct Mounted {
    mount: Option<Mount>,
    directory: PathBuf,
    /// What programs saw only as `EIO`.
    pub reports: Arc<Mutex<Vec<String>>>,
}

impl Workshop {
    /// A store with an empty branch `main`.
    pub fn new() -> Workshop {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.tine");
        Workshop::with(directory, Store::create(&path, &Options::default()).unwrap())
    }

    /// The same on a disk of `bytes`.
    pub fn on_disk_of(bytes: u64) -> Workshop {
        Workshop::on(Arc::new(MemoryDevice::with_capacity(bytes)))
    }

    /// The same on `disk`.
    pub fn on(disk: Arc<dyn Device>) -> Workshop {
        let store = Store::create_on(disk, &Options::default()).unwrap();
        Workshop::with(tempfile::tempdir().unwrap(), store)
    }

    fn with(directory: TempDir, store: Store) -> Workshop {
        let branch = store.create_branch("main").unwrap();
        let root = NewRoot {
            mode: 0o755,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        Fs::format(&branch, &root).unwrap();
        Workshop { store, directory }
    }

    /// A directory outside of any mount.
    pub fn aside(&self) -> &Path {
        self.directory.path()
    }

    /// A new directory to mount on.
    pub fn make_directory(&self, name: &str) -> PathBuf {
        let directory = self.aside().join(name);
        std::fs::create_dir(&directory).unwrap();
        directory
    }

    /// The file tree of a branch that is not mounted.
    pub fn tree(&self, name: &str) -> Fs {
        Fs::open(&self.store, self.store.branch(name).unwrap()).unwrap()
    }

    /// Mounts a branch.
    pub fn mount(&self, name: &str) -> Mounted {
        self.mount_with(name, |_| ())
    }

    pub fn mount_with(&self, name: &str, choose: impl FnOnce(&mut MountOptions)) -> Mounted {
        let directory = self.directory.path().join("mounts").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let fs = self.tree(name);
        let reports = Arc::new(Mutex::new(Vec::new()));
        let mut options = MountOptions::new(format!("test#{name}"));
        // The namespace is for these tests alone: mounts that came along into it are to keep
        // nothing.
        options.subtype = "tine.private";
        // Programs of these tests become other users.
        options.allow_other = rustix::process::geteuid().is_root();
        choose(&mut options);
        options.report = Arc::new({
            let reports = reports.clone();
            move |error| reports.lock().unwrap().push(error.to_string())
        });
        let device = mount_at(&directory, &options).unwrap();
        let mount = Mount::start(fs, device, Some(&directory), &options).unwrap();
        Mounted { mount: Some(mount), directory, reports }
    }
}

impl Mounted {
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Runs a shell script inside; it must succeed. Gives what it printed.
    pub fn sh(&self, script: &str) -> String {
        let output = self.try_sh(script);
        assert!(
            output.status.success(),
            "{script}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub fn try_sh(&self, script: &str) -> Output {
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(&self.directory)
            .env("LC_ALL", "C")
            .output()
            .unwrap()
    }

    /// Unmounts and waits for the end.
    pub fn close(mut self) {
        self.end();
        let reports = self.reports.lock().unwrap();
        assert!(reports.is_empty(), "{reports:?}");
    }

    fn end(&mut self) {
        if let Some(mount) = self.mount.take() {
            mount.unmount().unwrap();
            mount.join();
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(mount) = self.mount.take() {
            // A test failed; whatever it left open must not keep the threads.
            let _ = tine_sys::fuse_device::unmount_by_force(&self.directory);
            mount.stop();
            mount.join();
        }
    }
}
