//! The demo on a fresh machine: a minimal Debian that has Rust, and what the README says must be
//! there, and nothing else.
//!
//! A root directory made by debootstrap stands in for the machine. The toolchain, its registry, the
//! workspace and what was built of it are mounted into it at the paths that they have here, so that
//! nothing is built twice. All of it is in namespaces of its own: when the demo's shell ends, no
//! process and no mount of it can stay.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::programs;
use super::tally::Tally;
use crate::packages::{self, Program};
use crate::process;
use crate::workspace::{Workspace, cargo};

const DEBOOTSTRAP: Program = Program { name: "debootstrap", package: "debootstrap" };

/// What the README says must be there in addition to Rust.
const REQUIRED: &str = "gcc,libc6-dev";

/// Inside the namespaces: builds the machine's tree of mounts, and enters it.
const ENTER: &str = r#"
set -e
mount --make-rprivate /
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
mount --rbind /sys "$0/sys"
mount -t tmpfs -o mode=755 tmpfs "$0/run"
printf '%s\n' "$TINE_SHARED" | while read -r path; do
    mkdir -p "$0$path"
    mount --rbind "$path" "$0$path"
done
exec chroot "$0" /bin/sh -c "$1"
"#;

/// On the machine: the demo once to its end and once broken off, each of which must leave nothing
/// behind.
const PLAY: &str = r#"
set -e
cd "$TINE_ROOT"
# The project itself may be below /tmp.
before=$(ls -A /tmp)
clean() {
    left=$(ls -A /tmp | grep -vxF -e "$before" || true; ls -d /run/tine 2>/dev/null || true; grep -l '/tmp/tine[-]demo' /proc/[0-9]*/cmdline 2>/dev/null || true)
    [ -z "$left" ] || { echo "left behind after $1: $left"; exit 1; }
}
# That what the README names is enough to build; the program itself is built already.
CARGO_TARGET_DIR=/root/target cargo build --quiet --package xtask
cargo xtask demo
clean "the demo"
(
    trap - INT
    setsid cargo xtask demo > /out 2>&1 &
    echo $! > /pid
)
until grep -q 'branches: tine branch' /out; do
    [ -d "/proc/$(cat /pid)" ] || { cat /out; exit 1; }
    sleep 0.1
done
kill -INT "-$(cat /pid)"
while [ -d "/proc/$(cat /pid)" ]; do sleep 0.1; done
grep -q interrupted /out || { cat /out; exit 1; }
clean "Ctrl-C"
"#;

/// Plays the demo there, or names why it cannot be.
pub fn run(workspace: &Workspace, tally: &mut Tally) {
    let name = "the demo on a fresh Debian";
    match root_of(workspace) {
        Err(why) => tally.skip(&format!("{name}: {why:#}")),
        Ok(machine) => super::check(tally, name, || machine.play(workspace)),
    }
}

/// The machine's root directory, gone afterwards.
struct Machine(PathBuf);

fn root_of(workspace: &Workspace) -> Result<Machine> {
    ensure!(process::is_root(), "it takes root to make one");
    let missing = packages::install(&[DEBOOTSTRAP]);
    ensure!(missing.is_empty(), "debootstrap could not be installed");
    let (mirror, suite) = source()?;
    let root = workspace.target.join("fresh-debian");
    // A run that was killed may have left one; mounts in it have ended with its namespace.
    drop(Machine(root.clone()));
    let machine = Machine(root);
    let mut make = Command::new("debootstrap");
    make.args(["--variant=minbase", &format!("--include={REQUIRED}"), &suite]);
    process::capture(make.arg(&machine.0).arg(mirror)).context("a Debian could not be made")?;
    Ok(machine)
}

/// Where this machine's packages come from, and the name of its release.
fn source() -> Result<(String, String)> {
    let mut ask = Command::new("apt-get");
    ask.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT) $(CREATED_BY)"]);
    let targets = process::capture(&mut ask).context("no apt tells where packages come from")?;
    for target in targets.lines() {
        if let [mirror, suite, "main", "Packages"] = target.split(' ').collect::<Vec<_>>()[..]
            && !suite.contains('-')
        {
            return Ok((mirror.to_owned(), suite.to_owned()));
        }
    }
    bail!("apt knows no main part of a Debian release")
}

impl Machine {
    fn play(&self, workspace: &Workspace) -> Result<()> {
        process::run(cargo().args(["build", "--quiet", "--release", "--locked", "-p", "tine"]))?;
        // As this machine reaches its packages, so does that one.
        for file in ["etc/resolv.conf", "etc/apt/apt.conf.d"] {
            let mut copy = Command::new("cp");
            copy.args(["-rLT"]).arg(Path::new("/").join(file)).arg(self.0.join(file));
            process::capture(&mut copy)?;
        }
        let toolchain = process::capture(Command::new("rustc").args(["--print", "sysroot"]))?;
        let toolchain = PathBuf::from(toolchain.trim());
        let cargo_home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
        let cargo_home = cargo_home.context("there is no home directory")?;
        let shared = [&toolchain, &cargo_home.join("registry"), &workspace.root, &workspace.target];
        let shared: Vec<&OsStr> = shared.iter().map(|path| path.as_os_str()).collect();
        let mut path = toolchain.join("bin").into_os_string();
        path.push(":/usr/sbin:/usr/bin:/sbin:/bin");
        let mut play = programs::limited(Path::new("unshare"));
        play.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER]);
        play.arg(&self.0).arg(PLAY).env_clear();
        play.env("PATH", path).env("HOME", "/root");
        play.env("CARGO_HOME", &cargo_home).env("CARGO_NET_OFFLINE", "true");
        play.env("CARGO_TARGET_DIR", &workspace.target).env("TINE_ROOT", &workspace.root);
        play.env("TINE_SHARED", shared.join(OsStr::new("\n")));
        let output = process::output(&mut play)?;
        ensure!(output.status.success(), "{}: {}", output.status, programs::text(&output));
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Whatever a mount would show there is not the machine's.
        let mut remove = Command::new("rm");
        if let Err(error) = process::capture(remove.args(["-rf", "--one-file-system"]).arg(&self.0))
        {
            eprintln!("warning: {} stays behind: {error:#}", self.0.display());
        }
    }
}
