//! Images of files.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::image::{CHUNK, Image};

impl Image {
    /// Makes an image of a file's content. Holes and pages of zeros take no memory. A file that
    /// does not report its length, like those of `/proc`, is read to its end.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read, is empty, or is not a regular file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        read(path.as_ref())
    }
}

fn read(path: &Path) -> Result<Image> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let refused = |reason| failed(io::Error::new(ErrorKind::InvalidInput, reason));
    // Checked before the file is opened: opening a pipe would wait for its writer.
    let meta = path.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Err(failed(ErrorKind::IsADirectory.into()));
    }
    if !meta.is_file() {
        return Err(refused(
            "it is no regular file; read it, and give the bytes to `Image::from_bytes`",
        ));
    }
    let mut file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    if len == 0 {
        // It is empty, or does not report its length.
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        return match bytes[..] {
            [] => Err(refused("it is empty, and an image has at least one byte")),
            _ => Image::from_bytes(&bytes),
        };
    }
    let len = usize::try_from(len).map_err(|_| refused("it exceeds the address space"))?;
    let builder = Image::builder(len)?;
    let mut chunk = vec![0; CHUNK];
    for offset in (0..len).step_by(CHUNK) {
        let chunk = &mut chunk[..CHUNK.min(len - offset)];
        file.read_exact_at(chunk, offset as u64).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => refused("it ends before the length that it tells"),
            _ => failed(error),
        })?;
        builder.write_nonzero(chunk, offset)?;
    }
    builder.seal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PAGE;

    #[test]
    fn a_file_becomes_an_image_with_its_holes() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &[7; 10_000]).unwrap();
        file.as_file().set_len(5_000_000).unwrap();
        let image = Image::from_file(file.path()).unwrap();
        assert_eq!(image.len(), 5_000_000);
        assert_eq!(image.stored_bytes().unwrap(), 3 * PAGE as u64);
        let mut bytes = [0; 4];
        image.read_at(&mut bytes, 9_998).unwrap();
        assert_eq!(bytes, [7, 7, 0, 0]);
    }

    #[test]
    fn a_file_that_does_not_tell_its_length_is_read_to_its_end() {
        let image = Image::from_file("/proc/self/status").unwrap();
        assert!(image.fork().unwrap().starts_with(b"Name:"));
    }

    #[test]
    fn what_is_no_file_with_bytes_is_refused_by_its_path_and_why() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let empty = empty.path().to_str().unwrap();
        for (path, why) in [
            ("/dev/zero", "no regular file"),
            ("/proc/self", "directory"),
            ("/nowhere/at/all", "No such file"),
            (empty, "empty"),
        ] {
            let refused = Image::from_file(path).unwrap_err();
            assert!(matches!(refused, Error::File { .. }), "{refused}");
            let text = refused.to_string();
            assert!(text.contains(path) && text.contains(why), "{text}");
        }
    }
}
