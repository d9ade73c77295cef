//! Sources of the system's packages, for suites that come with no package.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// The unpacked source of a Debian package, in `target/outside`; fetched unless it is there. It is
/// that of the version that is installed, else of another that can be had.
pub fn unpacked(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    let place = workspace.target.join("outside").join(package);
    let unpacked = place.join("source");
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    let lists = place.join("lists/partial");
    fs::create_dir_all(&lists).with_context(|| format!("make {}", lists.display()))?;
    // A list of sources of our own: the system's may name none, and is left as it is.
    let list = place.join("sources.list");
    fs::write(&list, sources()?).with_context(|| format!("write {}", list.display()))?;
    let apt = |program: &str, arguments: &[&str]| {
        let mut apt = Command::new(program);
        apt.current_dir(&place).arg("-qq");
        for (option, path) in
            [("Dir::Etc::SourceList", &list), ("Dir::State::Lists", &place.join("lists"))]
        {
            apt.arg("-o").arg(format!("{option}={}", path.display()));
        }
        apt.args(["-o", "Dir::Etc::SourceParts=-", "-o", "APT::Sandbox::User=root"]);
        process::capture(apt.args(arguments))
    };
    apt("apt-get", &["update"])?;
    let records = apt("apt-cache", &["showsrc", package])?;
    let versions = records.lines().filter_map(|line| line.strip_prefix("Version: "));
    let mut versions: Vec<&str> = versions.collect();
    let installed = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
    let installed = installed.map(|found| String::from_utf8_lossy(&found.stdout).into_owned());
    let installed = installed.unwrap_or_default();
    versions.sort_by_key(|version| *version != installed);
    // A mirror may list a version whose files it no longer has.
    let fetch = |version: &str| {
        apt("apt-get", &["source", "--download-only", &format!("{package}={version}")])
    };
    let mut failed = None;
    for version in &versions {
        failed = fetch(version).err();
        if failed.is_none() {
            break;
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let described = fs::read_dir(&place)?.flatten().map(|entry| entry.path());
    let described = described.into_iter().find(|path| path.extension().is_some_and(|e| e == "dsc"));
    let described = described.with_context(|| format!("apt brought no source of {package}"))?;
    let mut unpack = Command::new("dpkg-source");
    process::capture(unpack.arg("-x").arg(described).arg(&unpacked))?;
    Ok(unpacked)
}

/// The places of packages that apt knows, as places of sources.
fn sources() -> Result<String> {
    let mut ask = Command::new("apt-get");
    ask.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT) $(CREATED_BY)"]);
    let targets = process::capture(&mut ask).context("no apt tells where packages come from")?;
    let mut lines = String::new();
    for target in targets.lines() {
        if let [place, suite, component, "Packages"] = target.split(' ').collect::<Vec<_>>()[..] {
            lines.push_str(&format!("deb-src {place} {suite} {component}\n"));
        }
    }
    Ok(lines)
}
