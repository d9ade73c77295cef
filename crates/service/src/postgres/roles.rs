//! Names of roles that could log in to a cluster, read from its files.
//!
//! Who made a cluster is written nowhere outside its tables, and asking a server takes a role. The
//! table of roles is small, its head has kept its shape since version 12, and what is found here is
//! only a guess to try: a page that was never flushed, or another page size, gives fewer names.

use std::path::{Path, PathBuf};

use super::data_file;

/// The catalogue's number, and the mapping file's (`src/include/catalog`, `relmapper.c`).
const PG_AUTHID: u32 = 1260;
const MAPPING_MAGIC: u32 = 0x0059_2717;
const PAGE_BYTES: usize = 8192;
const PAGE_HEADER_BYTES: usize = 24;
const NAME_BYTES: usize = 64;
/// The role that `initdb` made.
const BOOTSTRAP_ROLE: u32 = 10;

/// Superusers that may log in, the one that made the cluster first.
pub(super) fn superusers(directory: &Path) -> Vec<String> {
    let table = data_file::read(&file_of_shared(directory, PG_AUTHID)).unwrap_or_default();
    let mut found: Vec<(u32, String)> = table.chunks_exact(PAGE_BYTES).flat_map(roles_of).collect();
    found.sort_by_key(|(number, _)| (*number != BOOTSTRAP_ROLE, *number));
    let mut names: Vec<String> = found.into_iter().map(|(_, name)| name).collect();
    names.dedup();
    names
}

/// The file of a catalogue that all databases share.
pub(super) fn file_of_shared(directory: &Path, catalogue: u32) -> PathBuf {
    let global = directory.join("global");
    let mapping = data_file::read(&global.join("pg_filenode.map")).unwrap_or_default();
    global.join(file_of(&mapping, catalogue).unwrap_or(catalogue).to_string())
}

/// Which file a mapped catalogue is in: pairs of numbers behind a magic number and their count.
fn file_of(mapping: &[u8], catalogue: u32) -> Option<u32> {
    (number(mapping, 0)? == MAPPING_MAGIC).then_some(())?;
    let count = number(mapping, 4)? as usize;
    let found = (0..count.min(64)).find(|n| number(mapping, 8 + n * 8) == Some(catalogue))?;
    number(mapping, 12 + found * 8)
}

/// Walks the line pointers of a heap page: offset (15 bits), state (2 bits), length (15 bits).
fn roles_of(page: &[u8]) -> Vec<(u32, String)> {
    let lower =
        page.get(12..14).map_or(0, |bytes| usize::from(u16::from_ne_bytes([bytes[0], bytes[1]])));
    let pointers = (PAGE_HEADER_BYTES..lower.min(PAGE_BYTES)).step_by(4);
    pointers
        .filter_map(|at| {
            let pointer = number(page, at)?;
            let is_normal = (pointer >> 15) & 0b11 == 1;
            is_normal.then(|| role_of(page.get((pointer & 0x7FFF) as usize..)?)).flatten()
        })
        .collect()
}

/// A row: behind its header come number, name, and seven flags, of which the first makes a
/// superuser and the fifth lets the role log in.
fn role_of(row: &[u8]) -> Option<(u32, String)> {
    let columns = row.get(usize::from(*row.get(22)?)..)?;
    let name = columns.get(4..4 + NAME_BYTES)?.split(|byte| *byte == 0).next()?;
    let flags = columns.get(4 + NAME_BYTES..4 + NAME_BYTES + 7)?;
    let may_log_in = flags[0] == 1 && flags[4] == 1;
    let name = String::from_utf8(name.to_vec()).ok()?;
    (may_log_in && !name.is_empty()).then_some((number(columns, 0)?, name))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_table_of_roles_give_no_names() {
        for seed in 0..200_u32 {
            let bytes: Vec<u8> = (0..PAGE_BYTES as u32)
                .map(|n| {
                    (n.wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(seed | 1) >> 13)
                        as u8
                })
                .collect();
            let _any = roles_of(&bytes);
            let _none = file_of(&bytes[..seed as usize], PG_AUTHID);
        }
        assert!(superusers(Path::new("/nonexistent")).is_empty());
    }
}
