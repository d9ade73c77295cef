//! The whole store to and from its file: a magic, the blocks once each, then the trees that name them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use crate::branch::{Block, Cell, Entry, Tree, lock};
use crate::store::Inner;
use crate::{BLOCK_BYTES, Error, Result};

const MAGIC: &[u8; 8] = b"tinemodl";

fn put_u64(out: &mut impl Write, value: u64) -> io::Result<()> {
    out.write_all(&value.to_le_bytes())
}

fn put_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    put_u64(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

fn get_u64(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn get_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let len = get_u64(input)?;
    let mut bytes = Vec::new();
    input.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

pub(crate) fn save(file: &File, inner: &Inner) -> io::Result<()> {
    let cells: Vec<_> = lock(&inner.branches).values().cloned().collect();
    let mut trees: Vec<Arc<Tree>> = Vec::new();
    let mut tree_of =
        |tree: Arc<Tree>| match trees.iter().position(|known| Arc::ptr_eq(known, &tree)) {
            Some(at) => at as u64,
            None => {
                trees.push(tree);
                trees.len() as u64 - 1
            }
        };
    let roots: Vec<_> = cells
        .iter()
        .map(|cell| {
            let tree = tree_of(lock(&cell.tree).clone());
            (tree, cell.base.clone().map_or(u64::MAX, &mut tree_of))
        })
        .collect();
    let mut numbers = HashMap::new();
    let mut blocks: Vec<&Block> = Vec::new();
    for entry in trees.iter().flat_map(|tree| tree.values()) {
        if let Entry::Block(block) = entry {
            numbers.entry(Block::as_ptr(block)).or_insert_with(|| {
                blocks.push(block);
                blocks.len() as u64 - 1
            });
        }
    }
    let mut handle = file;
    handle.rewind()?;
    let mut out = BufWriter::with_capacity(1 << 20, handle);
    out.write_all(MAGIC)?;
    put_u64(&mut out, inner.next_id.load(Ordering::Relaxed))?;
    put_u64(&mut out, blocks.len() as u64)?;
    blocks.iter().try_for_each(|block| out.write_all(block))?;
    put_u64(&mut out, trees.len() as u64)?;
    for tree in &trees {
        put_u64(&mut out, tree.len() as u64)?;
        for (key, entry) in tree.iter() {
            put_bytes(&mut out, key)?;
            match entry {
                Entry::Bytes(bytes) => {
                    put_u64(&mut out, u64::MAX)?;
                    put_bytes(&mut out, bytes)?;
                }
                Entry::Block(block) => put_u64(&mut out, numbers[&Block::as_ptr(block)])?,
            }
        }
    }
    put_u64(&mut out, cells.len() as u64)?;
    for (cell, (tree, base)) in cells.iter().zip(roots) {
        let created = cell.created.duration_since(UNIX_EPOCH).unwrap_or_default();
        let created = created.as_nanos() as u64;
        put_bytes(&mut out, lock(&cell.name).as_bytes())?;
        for number in
            [cell.id, cell.parent.unwrap_or(0), u64::from(cell.sealed), created, tree, base]
        {
            put_u64(&mut out, number)?;
        }
    }
    out.flush()?;
    drop(out);
    let len = handle.stream_position()?;
    file.set_len(len)
}

pub(crate) fn load(file: &File, path: &Path) -> Result<(u64, Vec<Cell>)> {
    let mut input = BufReader::with_capacity(1 << 20, file);
    let mut magic = [0; 8];
    if input.read_exact(&mut magic).is_err() || &magic != MAGIC {
        return Err(Error::NotAStore { path: path.into() });
    }
    load_rest(&mut input)
        .map_err(|error| Error::Damaged { path: path.into(), what: error.to_string() })
}

fn load_rest(input: &mut impl Read) -> io::Result<(u64, Vec<Cell>)> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let next_id = get_u64(input)?;
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..get_u64(input)? {
        let mut block = [0; BLOCK_BYTES];
        input.read_exact(&mut block)?;
        blocks.push(Block::from(block));
    }
    let mut trees = Vec::new();
    for _ in 0..get_u64(input)? {
        let mut tree = Tree::new();
        for _ in 0..get_u64(input)? {
            let key = get_bytes(input)?;
            let entry = match get_u64(input)? {
                u64::MAX => Entry::Bytes(get_bytes(input)?),
                number => Entry::Block(blocks.get(number as usize).ok_or_else(bad)?.clone()),
            };
            tree.insert(key, entry);
        }
        trees.push(Arc::new(tree));
    }
    let mut cells = Vec::new();
    for _ in 0..get_u64(input)? {
        let name = String::from_utf8(get_bytes(input)?).map_err(|_| bad())?;
        let mut next = || get_u64(input);
        let (id, parent, sealed, created) = (next()?, next()?, next()?, next()?);
        let (tree, base) = (next()?, next()?);
        let tree_at = |at: u64| trees.get(at as usize).cloned();
        cells.push(Cell {
            id,
            name: Mutex::new(name),
            parent: (parent != 0).then_some(parent),
            sealed: sealed != 0,
            created: UNIX_EPOCH + Duration::from_nanos(created),
            tree: Mutex::new(tree_at(tree).ok_or_else(bad)?),
            base: tree_at(base),
            writer: Mutex::new(()),
            deleted: AtomicBool::new(false),
        });
    }
    Ok((next_id, cells))
}
