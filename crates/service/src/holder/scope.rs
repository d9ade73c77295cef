//! What the words behind the name of a branch mean: another branch, and paths.

use tine_fs::View;
use tine_store::ReadTxn;

use crate::holder::call::{Call, Execute};
use crate::holder::changes::sides;
use crate::holder::find;
use crate::protocol::changes::{Scope, Scoped};
use crate::protocol::shown::shown;
use crate::protocol::{Code, Error, Hint, RawBytes, Result};

impl Execute for Scope {
    fn execute(self, call: &mut Call<'_>) -> Result<Scoped> {
        let store = &call.context.store;
        let Scope { name, words, paths, here } = self;
        // First, so that an unknown name is told before anything else. A point that is counted back
        // from now is the same one when it is compared.
        let (named, shown) = find::find(store, &name).map(|found| (found.stored, found.shown))?;
        let mut words = words.into_iter().peekable();
        let (mut other, mut why_not) = (None, None);
        if let Some(RawBytes(word)) = words.peek() {
            match std::str::from_utf8(word).map(|word| find::find(store, word)) {
                Ok(Ok(found)) => {
                    other = Some(found.shown);
                    words.next();
                }
                Ok(Err(error)) => why_not = Some(unless_else(error)?),
                Err(_) => {}
            }
        }
        let compared = sides(store, &shown, other.as_deref());
        let [before, after] = compared.map_err(|error| why_not.take().unwrap_or(error))?;
        let views = [View::new(&before)?, View::new(&after)?];
        let mounted = call.context.mounts.find(&named).map(|mount| mount.directory);
        let mounted = mounted.map(|path| path.into_os_string().into_encoded_bytes());
        let from = Start { roots: roots(&before, &after, mounted)?, here: here.map(|here| here.0) };
        let mut scoped = Scoped { name: shown, other, paths: Vec::new(), absent: Vec::new() };
        for RawBytes(word) in words.chain(paths) {
            let path = from.resolve(&word)?;
            let is_there = views[0].find(&path)?.or(views[1].find(&path)?).is_some();
            match why_not.take() {
                Some(error) if !is_there => return Err(neither(error, &word)),
                _ if !is_there => scoped.absent.push(RawBytes(path.clone())),
                _ => {}
            }
            scoped.paths.push(RawBytes(path));
        }
        Ok(scoped)
    }
}

/// The error of a word that names no branch, and may be a path. Other errors end the request.
fn unless_else(error: Error) -> Result<Error> {
    match error.code {
        Code::BranchNotFound | Code::NameInvalid => Ok(error),
        _ => Err(error),
    }
}

fn neither(error: Error, word: &[u8]) -> Error {
    // It is meant for a point, or for an import.
    if word.contains(&b'@') {
        return error;
    }
    let what = format!("{}, and no such path in what is compared", error.message);
    Error::new(error.code, what).hint(Hint::PathsBehindDashes)
}

/// The directories that stand for the root of the branch.
fn roots(before: &ReadTxn, after: &ReadTxn, mounted: Option<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    let origin = match tine_fs::origin(after)? {
        None => tine_fs::origin(before)?,
        origin => origin,
    };
    Ok(mounted.into_iter().chain(origin).collect())
}

/// Where paths start from.
struct Start {
    roots: Vec<Vec<u8>>,
    here: Option<Vec<u8>>,
}

impl Start {
    /// A path from the root of the branch, without a leading slash.
    fn resolve(&self, word: &[u8]) -> Result<Vec<u8>> {
        let below = |path: &[u8]| {
            let rests = self.roots.iter().filter_map(|root| rest_below(path, root));
            rests.min_by_key(|rest| rest.len())
        };
        let start = match (word, &self.here) {
            ([b'/', ..], _) => return normal(&below(word).unwrap_or_else(|| word.to_vec()), word),
            (_, Some(here)) => below(here).unwrap_or_default(),
            (_, None) => Vec::new(),
        };
        normal(&[&start, &b"/"[..], word].concat(), word)
    }
}

/// What is left of a path below a directory.
fn rest_below(path: &[u8], directory: &[u8]) -> Option<Vec<u8>> {
    let rest = path.strip_prefix(directory)?;
    let is_below = directory.ends_with(b"/") || matches!(rest, [] | [b'/', ..]);
    is_below.then(|| rest.to_vec())
}

fn normal(path: &[u8], word: &[u8]) -> Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    let word = shown(word);
                    return Err(Error::new(
                        Code::Usage,
                        format!("the path {word} leads out of the branch"),
                    ));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_starts_where_the_person_stands_below_the_directory_of_the_branch() {
        let resolve = |here: &str, word: &str| {
            let roots = vec![b"/home/me/shop".to_vec()];
            let start = Start { roots, here: Some(here.as_bytes().to_vec()) };
            start.resolve(word.as_bytes()).map(|path| String::from_utf8(path).unwrap())
        };
        for (here, word, path) in [
            ("/tmp", "src/a", "src/a"),
            ("/home/me/shop", "src//a/", "src/a"),
            ("/home/me/shop/src", "a", "src/a"),
            ("/home/me/shop/src", "./../b", "b"),
            ("/home/me/shop/src", ".", "src"),
            ("/home/me/shopping", "a", "a"),
            ("/tmp", "/home/me/shop/src", "src"),
            ("/home/me/shop/src", "/lib", "lib"),
            ("/tmp", "/", ""),
        ] {
            assert_eq!(resolve(here, word).unwrap(), path, "{word} in {here}");
        }
        for (here, word) in [("/tmp", ".."), ("/home/me/shop/src", "../../x")] {
            assert_eq!(resolve(here, word).unwrap_err().code, Code::Usage);
        }
    }
}
