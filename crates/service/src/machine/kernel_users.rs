//! What keeps a mount without any process that works in it: a loop device over one of its files, an
//! overlay with a layer in it, a mount namespace that has a name.
//!
//! All is read in the kernel's tables, without a request to the mount itself.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use tine_sys::mountinfo::unescape;

/// The loop devices and overlays that use what is, or was, mounted at one of the places; each as a
/// message names it.
pub fn find(places: &[PathBuf]) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let loops = devices.filter_map(|device| {
        let file = fs::read(device.path().join("loop/backing_file")).ok()?;
        let file = path(file.strip_suffix(b"\n").unwrap_or(&file));
        let name = device.file_name();
        lies_in(&file, places).then(|| format!("/dev/{} (over {})", name.display(), file.display()))
    });
    let overlays = table().into_iter().filter(|mount| {
        mount.kind == b"overlay" && layers(&mount.options).any(|layer| lies_in(&layer, places))
    });
    let overlays =
        overlays.map(|mount| format!("the overlay mounted at {}", mount.directory.display()));
    let mut found: Vec<String> = loops.collect();
    found.sort();
    found.extend(overlays);
    found
}

/// Where mount namespaces are kept in which no process is: each may have a copy of any mount.
pub fn kept_namespaces() -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let inhabited: HashSet<PathBuf> =
        processes.filter_map(|process| fs::read_link(process.path().join("ns/mnt")).ok()).collect();
    let kept = table().into_iter().filter(|mount| {
        mount.kind == b"nsfs" && mount.root.starts_with("mnt:") && !inhabited.contains(&mount.root)
    });
    kept.map(|mount| mount.directory).collect()
}

/// A mount that this process sees.
struct Line {
    root: PathBuf,
    directory: PathBuf,
    kind: Vec<u8>,
    /// Those of the file system.
    options: Vec<u8>,
}

fn table() -> Vec<Line> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    table.split(|&byte| byte == b'\n').filter_map(line).collect()
}

/// `id parent major:minor ROOT DIRECTORY options [optional…] - TYPE source OPTIONS`
fn line(line: &[u8]) -> Option<Line> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let dash = fields.iter().position(|field| field == b"-")?;
    Some(Line {
        root: path(&unescape(fields.get(3)?)),
        directory: path(&unescape(fields.get(4)?)),
        kind: fields.get(dash + 1)?.to_vec(),
        options: unescape(fields.get(dash + 3)?),
    })
}

/// The directories that an overlay is made of, as its mount options name them.
fn layers(options: &[u8]) -> impl Iterator<Item = PathBuf> + '_ {
    let values = options.split(|&byte| byte == b',').filter_map(|option| {
        let equals = option.iter().position(|&byte| byte == b'=')?;
        let name = option[..equals].strip_suffix(b"+").unwrap_or(&option[..equals]);
        matches!(name, b"lowerdir" | b"datadir" | b"upperdir" | b"workdir")
            .then(|| &option[equals + 1..])
    });
    values.flat_map(|value| value.split(|&byte| byte == b':')).map(path)
}

/// Returns `true` if a path leads into one of the places. Where a relative one starts from is known
/// to nothing, so it is taken for the place that has its name.
fn lies_in(path: &Path, places: &[PathBuf]) -> bool {
    match path.is_absolute() {
        true => places.iter().any(|place| path.starts_with(place)),
        false => path
            .ancestors()
            .filter(|first| !first.as_os_str().is_empty())
            .any(|first| places.iter().any(|place| place.ends_with(first))),
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_an_overlay_are_found_in_its_options() {
        let text =
            b"36 22 0:50 / /x\\040y rw - overlay over rw,lowerdir=/m/low:/other,upperdir=m/up";
        let mount = line(text).unwrap();
        assert_eq!((mount.directory.to_str(), &mount.kind[..]), (Some("/x y"), &b"overlay"[..]));
        let layers: Vec<PathBuf> = layers(&mount.options).collect();
        assert_eq!(layers, [Path::new("/m/low"), Path::new("/other"), Path::new("m/up")]);
        let is_in = |place: &str| layers.iter().map(|it| lies_in(it, &[place.into()])).collect();
        let (at_m, below_m, elsewhere): (Vec<bool>, Vec<bool>, Vec<bool>) =
            (is_in("/m"), is_in("/d/m"), is_in("/l"));
        assert_eq!(at_m, [true, false, true]);
        assert_eq!(below_m, [false, false, true]);
        assert_eq!(elsewhere, [false, false, false]);
    }
}
