//! Images: memory that is sealed, shared and never changes.
//!
//! An image made by a builder or from a descriptor is one sealed `memfd`. One made by
//! [`Region::seal`](crate::Region::seal) or by a [`Merger`](crate::Merger) is a list of runs in
//! several of them, which [`Image::flatten`] turns into one again.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::layout::{Backing, Layout};
use crate::page::{HUGE, PAGE, is_zero, pages_of, push_run};
use crate::probe;
use crate::sys::{Mapping, Memfd, Sealed, receive_descriptor, send_descriptor};

/// Bytes moved at a time when an image is filled or copied.
pub(crate) const CHUNK: usize = 1 << 20;

/// Immutable memory. Cloning it shares it. [`Image::fork`] makes writable copies in O(1).
#[derive(Clone, Debug)]
pub struct Image(Arc<Content>);

#[derive(Debug)]
struct Content {
    len: usize,
    layout: Layout,
    /// Equal for images that are known to hold the same bytes.
    identity: u64,
    /// Set once `collapse` has made huge pages of the memory.
    collapsed: AtomicBool,
}

impl Image {
    /// Makes an image of `len` bytes of zeros, which occupy no memory.
    pub fn zeroed(len: usize) -> Result<Self> {
        probe::require()?;
        check_len(len)?;
        Ok(Self::new(len, Layout::zero(pages_of(len))))
    }

    /// Begins an image of `len` bytes, which are zeros until they are written.
    pub fn builder(len: usize) -> Result<ImageBuilder> {
        probe::require()?;
        check_len(len)?;
        Ok(ImageBuilder { memory: Memfd::new(pages_of(len) * PAGE)?, len })
    }

    /// Makes an image that holds `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let builder = Self::builder(bytes.len())?;
        builder.write_at(bytes, 0)?;
        builder.seal()
    }

    /// Makes an image of sealed memory from elsewhere, such as another process.
    ///
    /// # Errors
    /// [`Error::Unsealed`] unless `F_SEAL_WRITE`, `F_SEAL_SHRINK` and `F_SEAL_GROW` are all set:
    /// without them another process could change what forks have not yet copied. It is also
    /// returned if the last page holds bytes behind the end, since a region that grows would show
    /// them.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        probe::require()?;
        let (file, len) = Sealed::from_fd(fd)?;
        check_len(len)?;
        if len % PAGE != 0 {
            let last = Mapping::of_sealed(&file, len / PAGE * PAGE, PAGE)?;
            if !is_zero(&last.bytes()[len % PAGE..]) {
                let reason = "its last page holds bytes behind its end".into();
                return Err(Error::Unsealed { reason });
            }
        }
        let layout = Layout::of_file(Arc::new(file), pages_of(len))?;
        Ok(Self::new(len, layout))
    }

    /// Returns a descriptor of the image's memory, for another process. If the image is made of
    /// several pieces, it is of a flat copy. The memory is a whole number of pages long.
    pub fn to_fd(&self) -> Result<OwnedFd> {
        match self.layout().whole_file()? {
            Some(file) => file.duplicate(),
            None => self.copied()?.duplicate(),
        }
    }

    /// Sends the image to another process, which calls [`Image::receive`]. Nothing is copied unless
    /// the image is made of several pieces.
    pub fn send(&self, socket: &UnixStream) -> Result<()> {
        let len = (self.0.len as u64).to_le_bytes();
        send_descriptor(socket, self.to_fd()?.as_fd(), &len)
            .map_err(|e| Error::os("send an image", e))
    }

    /// Receives an image that another process sent. Its seals are verified.
    pub fn receive(socket: &UnixStream) -> Result<Self> {
        let (fd, len) = receive_descriptor(socket).map_err(|e| Error::os("receive an image", e))?;
        let image = Self::from_fd(fd)?;
        let len = u64::from_le_bytes(len);
        let len = match usize::try_from(len) {
            Ok(len) if pages_of(len) == pages_of(image.0.len) && len > 0 => len,
            _ => {
                return Err(Error::Length { bytes: len, reason: "the memory sent is not as long" });
            }
        };
        let mut behind = vec![0; image.0.len.saturating_sub(len)];
        image.read_at(&mut behind, len.min(image.0.len))?;
        if !is_zero(&behind) {
            let reason = "the memory sent goes on behind it";
            return Err(Error::Length { bytes: len as u64, reason });
        }
        Ok(Self::new(len, image.0.layout.clone()))
    }

    /// The length in bytes, at least one.
    #[allow(clippy::len_without_is_empty)] // An image has at least one byte.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Fills `bytes` with what is at an offset.
    pub fn read_at(&self, bytes: &mut [u8], offset: usize) -> Result<()> {
        check_bounds("read an image", offset, bytes.len(), self.0.len)?;
        let mut pages = vec![0; CHUNK.min(pages_of(bytes.len()) * PAGE + PAGE)];
        let mut done = 0;
        while done < bytes.len() {
            let (first, within) = ((offset + done) / PAGE, (offset + done) % PAGE);
            let count = (bytes.len() - done).min(pages.len() - within);
            let pages = &mut pages[..pages_of(within + count) * PAGE];
            self.0.layout.read_pages(first, pages)?;
            bytes[done..done + count].copy_from_slice(&pages[within..within + count]);
            done += count;
        }
        Ok(())
    }

    /// Makes huge pages of the image's memory, so that forks need a five-hundredth of the
    /// page-table entries to read it. Writes to a fork still copy 4 KiB.
    ///
    /// It takes about 0.2 s/GiB, once. An image of several pieces is left as it is: flatten it
    /// first.
    pub fn collapse(&self) -> Result<()> {
        let Some(file) = self.0.layout.flat_file() else { return Ok(()) };
        for segment in self.0.layout.segments() {
            if segment.backing.is_zero() {
                continue;
            }
            // Huge pages start on 2 MiB of the file, so the view has to as well.
            let start = segment.pages.start * PAGE / HUGE * HUGE;
            Mapping::of_sealed(file, start, segment.pages.end * PAGE - start)?
                .collapse()
                .map_err(probe::collapse_refused)?;
        }
        self.0.collapsed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the same content in one piece of memory, which is the fastest to fork.
    pub fn flatten(&self) -> Result<Self> {
        if self.layout().flat_file().is_some() {
            return Ok(self.clone());
        }
        Ok(self.with_layout(Layout::of_file(Arc::new(self.copied()?), self.layout().pages())?))
    }

    /// Copies the content into new memory.
    fn copied(&self) -> Result<Sealed> {
        let builder =
            ImageBuilder { memory: Memfd::new(self.layout().pages() * PAGE)?, len: self.0.len };
        let mut chunk = vec![0; CHUNK];
        for run in self.0.layout.runs() {
            let Backing::File { file, page } = &run.backing else { continue };
            for done in (0..run.pages.len() * PAGE).step_by(CHUNK) {
                let chunk = &mut chunk[..CHUNK.min(run.pages.len() * PAGE - done)];
                file.read_at(chunk, page * PAGE + done)?;
                builder.write_nonzero(chunk, run.pages.start * PAGE + done)?;
            }
        }
        builder.sealed()
    }

    /// Bytes of memory that the image's pieces hold in all. Pages that are shared with other images
    /// count in full.
    pub fn stored_bytes(&self) -> Result<u64> {
        let mut files: Vec<&Arc<Sealed>> = Vec::new();
        let (segments, patches) = (self.0.layout.segments(), self.0.layout.patches());
        for run in segments.iter().chain(patches) {
            if let Backing::File { file, .. } = &run.backing
                && !files.iter().any(|known| Arc::ptr_eq(known, file))
            {
                files.push(file);
            }
        }
        files.iter().map(|file| file.allocated()).sum()
    }

    /// Mappings that a fork takes.
    pub fn vmas(&self) -> usize {
        self.0.layout.segments().len()
    }

    pub(crate) fn new(len: usize, layout: Layout) -> Self {
        static IDENTITY: AtomicU64 = AtomicU64::new(0);
        let identity = IDENTITY.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Content { len, layout, identity, collapsed: AtomicBool::new(false) }))
    }

    /// Returns the same content with another layout.
    pub(crate) fn with_layout(&self, layout: Layout) -> Self {
        let (len, identity) = (self.0.len, self.0.identity);
        Self(Arc::new(Content { len, layout, identity, collapsed: AtomicBool::new(false) }))
    }

    /// Returns `true` if both are known to hold the same bytes.
    pub(crate) fn holds_the_same_as(&self, other: &Self) -> bool {
        self.0.identity == other.0.identity
    }

    /// Returns `true` if a unit of 2 MiB lies in a huge page.
    pub(crate) fn is_collapsed(&self, unit: usize) -> bool {
        let whole = unit * HUGE / PAGE..(unit + 1) * HUGE / PAGE;
        self.0.collapsed.load(Ordering::Relaxed)
            && whole.end <= self.layout().pages()
            && self.layout().runs_in(whole).iter().all(|run| !run.backing.is_zero())
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.0.layout
    }
}

/// An image while it is written.
#[derive(Debug)]
pub struct ImageBuilder {
    memory: Memfd,
    len: usize,
}

impl ImageBuilder {
    /// Writes at an offset. A shortage of memory is an error, not a signal.
    pub fn write_at(&self, bytes: &[u8], offset: usize) -> Result<()> {
        check_bounds("write an image", offset, bytes.len(), self.len)?;
        self.memory.write_at(bytes, offset)
    }

    /// Calls `fill` with the whole content, which is zeros at first. Pages that it leaves alone
    /// take no memory.
    pub fn fill(self, fill: impl FnOnce(&mut [u8])) -> Result<Self> {
        let mut view = Mapping::of_open(&self.memory, pages_of(self.len) * PAGE)?;
        fill(&mut view.bytes_mut()[..self.len]);
        drop(view);
        Ok(self)
    }

    /// Seals the content for good. Frees pages of zeros.
    pub fn seal(self) -> Result<Image> {
        let len = self.len;
        let file = Arc::new(self.sealed()?);
        Ok(Image::new(len, Layout::of_file(file, pages_of(len))?))
    }

    fn sealed(self) -> Result<Sealed> {
        self.drop_zero_pages()?;
        self.memory.seal()
    }

    /// Writes the pages of `bytes` that are not zero. The memory must be untouched there.
    pub(crate) fn write_nonzero(&self, bytes: &[u8], offset: usize) -> Result<()> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (index, page) in bytes.chunks(PAGE).enumerate() {
            if !is_zero(page) {
                push_run(&mut runs, index * PAGE..index * PAGE + page.len());
            }
        }
        runs.into_iter()
            .try_for_each(|run| self.memory.write_at(&bytes[run.clone()], offset + run.start))
    }

    fn drop_zero_pages(&self) -> Result<()> {
        let data = self.memory.data()?;
        if data.is_empty() {
            return Ok(());
        }
        let view = Mapping::of_open(&self.memory, pages_of(self.len) * PAGE)?;
        for range in data {
            let mut zeros: Vec<Range<usize>> = Vec::new();
            for (index, page) in view.bytes()[range.clone()].chunks(PAGE).enumerate() {
                if is_zero(page) {
                    let start = range.start + index * PAGE;
                    push_run(&mut zeros, start..start + PAGE);
                }
            }
            zeros.into_iter().try_for_each(|run| self.memory.punch(run))?;
        }
        Ok(())
    }
}

pub(crate) fn check_bounds(
    what: &'static str,
    offset: usize,
    bytes: usize,
    len: usize,
) -> Result<()> {
    if offset.checked_add(bytes).is_some_and(|end| end <= len) {
        return Ok(());
    }
    Err(Error::Bounds { what, offset: offset as u64, bytes: bytes as u64, len: len as u64 })
}

pub(crate) fn check_range(what: &'static str, range: &Range<usize>, len: usize) -> Result<()> {
    // A range that ends before it starts is out of bounds whatever the length.
    let bytes = range.end.checked_sub(range.start).unwrap_or(usize::MAX);
    check_bounds(what, range.start, bytes, len)
}

/// The longest length that rounds up to whole pages and fits a file's offset.
const LEN_MAX: usize = (i64::MAX as usize) / PAGE * PAGE;

pub(crate) fn check_len(len: usize) -> Result<()> {
    match len {
        0 => Err(Error::Length { bytes: 0, reason: "memory has at least one byte" }),
        1..=LEN_MAX => Ok(()),
        _ => Err(Error::Length { bytes: len as u64, reason: "it exceeds the address space" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_zeros_are_not_stored() {
        let image = Image::builder(1 << 20)
            .unwrap()
            .fill(|bytes| {
                bytes.fill(0);
                bytes[PAGE * 3 + 5] = 1;
                bytes[PAGE * 200] = 2;
            })
            .unwrap()
            .seal()
            .unwrap();
        assert_eq!(image.stored_bytes().unwrap(), 2 * PAGE as u64);
        let mut byte = [0];
        image.read_at(&mut byte, PAGE * 200).unwrap();
        assert_eq!(byte, [2]);
    }

    #[test]
    fn an_image_is_read_from_anywhere_to_anywhere() {
        let content: Vec<u8> = (0..CHUNK * 2 + 77).map(|n| (n / 3 % 251) as u8).collect();
        let image = Image::from_bytes(&content).unwrap();
        for range in [0..0, 5..6, 4000..9000, 3..CHUNK + 3, 4095..content.len(), 0..content.len()] {
            let mut bytes = vec![0; range.len()];
            image.read_at(&mut bytes, range.start).unwrap();
            assert!(bytes == content[range.clone()], "{range:?}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_had_are_refused() {
        assert!(matches!(Image::zeroed(0), Err(Error::Length { .. })));
        assert!(matches!(Image::zeroed(usize::MAX), Err(Error::Length { .. })));
        assert!(matches!(
            Image::zeroed(100).unwrap().read_at(&mut [0; 2], 99),
            Err(Error::Bounds { .. })
        ));
    }

    #[test]
    fn an_image_sent_over_a_socket_keeps_its_length_and_content() {
        let (here, there) = UnixStream::pair().unwrap();
        let image = Image::from_bytes(b"shared by two").unwrap();
        image.send(&here).unwrap();
        let received = Image::receive(&there).unwrap();
        assert_eq!(&received.fork().unwrap()[..], b"shared by two");

        Image::zeroed(10 * PAGE + 1).unwrap().send(&here).unwrap();
        assert_eq!(Image::receive(&there).unwrap().len(), 10 * PAGE + 1);
    }
}
