//! System packages: which one gives which program, and installing them where that is possible.

use std::process::Command;

use crate::process;

/// A program of the system and the Debian package that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program's name on the search path.
    pub name: &'static str,
    /// The Debian package.
    pub package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

/// What the tests run in addition to tine.
pub const FOR_TESTS: &[Program] = &[
    program("psql", "postgresql"),
    program("sqlite3", "sqlite3"),
    program("fusermount3", "fuse3"),
    program("mkfs.ext4", "e2fsprogs"),
    program("getfattr", "attr"),
    program("git", "git"),
    program("patch", "patch"),
    program("python3", "python3"),
];

/// The peers of `bench branch`, besides what the tests need.
pub const FOR_BRANCH_BENCH: &[Program] = &[
    program("psql", "postgresql"),
    program("git", "git"),
    program("mkfs.ext4", "e2fsprogs"),
    program("mkfs.xfs", "xfsprogs"),
    program("mkfs.btrfs", "btrfs-progs"),
    program("fuse-overlayfs", "fuse-overlayfs"),
    program("fusermount3", "fuse3"),
];

/// Installs what is missing, as root on a system with apt, and says what it installs. Returns the
/// packages that are missing still, each to be named by the caller.
pub fn install(programs: &[Program]) -> Vec<&'static str> {
    let wanted = missing(programs);
    if wanted.is_empty() {
        return wanted;
    }
    if !process::is_root() || !process::on_path("apt-get") {
        let names = wanted.join(" ");
        println!("missing packages: {names}; as root, `apt-get install {names}` installs them");
        return wanted;
    }
    println!("installing packages: {}", wanted.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-y"]).args(arguments);
        process::capture(&mut command)
    };
    let installed =
        |wanted: &[&str]| apt(&[&["install", "--no-install-recommends"], wanted].concat());
    let mut failures = Vec::new();
    if installed(&wanted).is_err() {
        // The lists may be old or absent; and one package that is not to be had must not keep the
        // others away.
        failures.extend(apt(&["update"]).err());
        for package in &wanted {
            failures.extend(installed(&[package]).err());
        }
    }
    let still = missing(programs);
    if !still.is_empty() {
        println!("could not install: {}", still.join(" "));
        failures.iter().for_each(|failure| println!("  {failure:#}"));
    }
    still
}

fn missing(programs: &[Program]) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs
        .iter()
        .filter(|program| !process::on_path(program.name))
        .map(|program| program.package)
        .collect();
    packages.dedup();
    packages
}
