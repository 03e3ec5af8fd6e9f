//! Exact rows that memory has no room for: in a file beside the database, read where a code does not decide.
//!
//! Codes stay in memory, so that a scan or a walk reads the disk only for the rows that it scores exactly, about one in a
//! few hundred. The file is no part of the database: it has no name once it is open, and a start fills a new one from the
//! rows that the log keeps. It is read at a position, not mapped: a page of a map that cannot be read ends the program,
//! where a read that fails is an error of one search.

use super::VectorError;
use rustix::fs::{Advice, fadvise};
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What names of files begin with, for the moment that they have one.
const NAME: &str = "rows-";

/// Most names that are tried for a new file.
const NAMES_MAX: usize = 100;

/// Where exact rows are kept: in memory up to a number of bytes, then on disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RowStore(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    memory_bytes_max: usize,
    /// Bytes that full blocks hold in memory.
    memory_bytes: AtomicUsize,
}

impl RowStore {
    /// All in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self(None)
    }

    /// At most about so many bytes in memory, the rest in files of `directory`. The last rows of each collection, fewer
    /// than fill a block of 4 MiB of codes, are always in memory and not counted. Files that a crash left there are removed.
    #[must_use]
    pub fn bounded(directory: &Path, memory_bytes_max: usize) -> Self {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_ours) {
                let _ = std::fs::remove_file(entry.path()); // what cannot be removed does no harm
            }
        }
        let (directory, memory_bytes) = (directory.to_owned(), AtomicUsize::new(0));
        Self(Some(Arc::new(Shared { directory, memory_bytes_max, memory_bytes })))
    }

    /// Room for `bytes` in memory, while what is returned lives; `None` when there is none. `leaving` is what will be
    /// given back soon: rows that these take the place of.
    pub(super) fn reserve(&self, bytes: usize, leaving: usize) -> Option<Reserved> {
        let Some(shared) = &self.0 else { return Some(Reserved { of: None, bytes }) };
        let most = shared.memory_bytes_max.saturating_add(leaving);
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= most);
        shared.memory_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        Some(Reserved { of: Some(Arc::clone(shared)), bytes })
    }

    /// A new file without a name.
    pub(super) fn file(&self) -> io::Result<RowFile> {
        let Some(shared) = &self.0 else { return Err(io::ErrorKind::Unsupported.into()) };
        for number in 0..NAMES_MAX {
            let path = shared.directory.join(format!("{NAME}{}-{number}", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    std::fs::remove_file(&path)?;
                    return Ok(RowFile { file, end: AtomicU64::new(0) });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Whether a name is one that [`RowStore::file`] gives: others' files are not touched.
fn is_ours(name: &str) -> bool {
    let numbers = name.strip_prefix(NAME).and_then(|rest| rest.split_once('-'));
    numbers.is_some_and(|(process, number)| process.parse::<u32>().is_ok() && number.parse::<usize>().is_ok())
}

/// Room in memory.
#[derive(Debug)]
pub(super) struct Reserved {
    of: Option<Arc<Shared>>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(shared) = &self.of {
            shared.memory_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        }
    }
}

/// The rows on disk of one layout of a collection. Its space is free again when the last block in it is gone.
#[derive(Debug)]
pub(super) struct RowFile {
    file: File,
    end: AtomicU64,
}

impl RowFile {
    /// Makes every later read fail.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.file.set_len(0).unwrap();
    }

    /// Appends a block's elements.
    pub(super) fn append(self: &Arc<Self>, bytes: &[u8]) -> io::Result<Region> {
        let start = self.end.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        self.file.write_all_at(bytes, start)?;
        Ok(Region { file: Arc::clone(self), start, bytes: bytes.len() })
    }
}

/// A block's elements on disk.
#[derive(Clone, Debug)]
pub(super) struct Region {
    file: Arc<RowFile>,
    start: u64,
    bytes: usize,
}

impl Region {
    /// Fills `row` with the elements of the row of that number.
    #[inline]
    pub(super) fn read<T: bytemuck::Pod>(&self, number: usize, row: &mut [T]) -> Result<(), VectorError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(row);
        let at = self.start + (number * bytes.len()) as u64;
        self.file.file.read_exact_at(bytes, at).map_err(|_| VectorError::Unreadable)
    }

    /// Asks the system to read a row ahead of its use. Advice only.
    pub(super) fn prefetch(&self, number: usize, row_bytes: usize) {
        let at = self.start + (number * row_bytes) as u64;
        let _ = fadvise(&self.file.file, at, NonZeroU64::new(row_bytes as u64), Advice::WillNeed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
