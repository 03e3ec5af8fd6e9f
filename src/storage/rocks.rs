//! RocksDB: the only file that names it. Its error texts do not leave this room; they go to the log.

use super::FORMAT_VERSION;
use super::keys::{Fields, Key, Table};
use rocksdb::{DB, DBCompressionType, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};

const WRITE_BUFFER_BYTES: usize = 128 << 20;
const BACKGROUND_JOBS_MAX: i32 = 2;

/// Why a directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// RocksDB refuses it: another process has it, it cannot be read, or it is damaged.
    #[error("cannot open `{path}`: {reason}")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What to do about it.
        reason: String,
    },
    /// A newer program wrote it.
    #[error("`{path}` has format {found}, this program reads up to {}; use a newer bailiwick", FORMAT_VERSION)]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// What is read makes no sense.
    #[error("`{path}` is damaged ({what}); restore it from a backup")]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// Where.
        what: &'static str,
    },
}

/// The disk failed, or what it holds is damaged. The cause is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store on disk failed; see the log")]
pub struct StorageError;

fn failed(error: &rocksdb::Error) -> StorageError {
    tracing::error!(%error, "rocksdb");
    StorageError
}

/// An open database directory.
pub struct Storage {
    db: DB,
    sync: bool,
}

/// Changes that are made together or not at all.
#[derive(Default)]
pub struct Batch(WriteBatch);

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, key: &Key, value: &[u8]) {
        self.0.put(key.bytes(), value);
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &Key) {
        self.0.delete(key.bytes());
    }

    /// Removes every key that starts with `prefix`.
    pub fn delete_prefix(&mut self, prefix: &Key) {
        self.0.delete_range(prefix.bytes(), prefix.end().as_slice());
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The content of the database at one moment.
pub struct Reading<'a> {
    snapshot: rocksdb::Snapshot<'a>,
}

impl Storage {
    /// Opens or creates a directory. `sync` makes every commit wait for the disk; without it a power cut may lose the
    /// newest commits (never half of one).
    pub fn open(path: &Path, sync: bool) -> Result<Storage, OpenError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_max_background_jobs(BACKGROUND_JOBS_MAX);
        options.set_keep_log_file_num(4);
        let db = DB::open(&options, path).map_err(|error| {
            tracing::error!(%error, "rocksdb");
            let text = error.to_string();
            let reason = if text.contains("lock") {
                "another process has it open; stop that one first".to_owned()
            } else {
                format!("{:?}; check the path, its permissions, or restore a backup", error.kind())
            };
            OpenError::Unusable { path: path.to_owned(), reason }
        })?;
        let storage = Storage { db, sync };
        storage.check_format(path)?;
        Ok(storage)
    }

    fn check_format(&self, path: &Path) -> Result<(), OpenError> {
        let damaged = |what| OpenError::Damaged { path: path.to_owned(), what };
        let key = Key::of(Table::Meta).u16(0);
        let found = self.db.get(key.bytes()).map_err(|error| {
            failed(&error);
            damaged("format version")
        })?;
        match found {
            None if self.db.iterator(IteratorMode::Start).next().is_some() => Err(damaged("no format version")),
            None => {
                let mut batch = Batch::default();
                batch.put(&key, &FORMAT_VERSION.to_be_bytes());
                self.commit(batch).map_err(|_| damaged("cannot write"))
            }
            Some(bytes) => match Fields(&bytes).u32() {
                Some(FORMAT_VERSION) => Ok(()),
                Some(found) if found > FORMAT_VERSION => Err(OpenError::Newer { path: path.to_owned(), found }),
                Some(_) | None => Err(damaged("format version")),
            },
        }
    }

    /// Makes a batch durable.
    pub fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        self.db.write_opt(batch.0, &options).map_err(|e| failed(&e))
    }

    /// Pins the content as it is now.
    #[must_use]
    pub fn reading(&self) -> Reading<'_> {
        Reading { snapshot: self.db.snapshot() }
    }

    /// Bytes on disk, near enough.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        let get = |name| self.db.property_int_value(name).ok().flatten().unwrap_or(0);
        get("rocksdb.total-sst-files-size") + get("rocksdb.cur-size-all-mem-tables")
    }
}

impl Reading<'_> {
    /// The value of a key.
    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StorageError> {
        self.snapshot.get(key.bytes()).map_err(|e| failed(&e))
    }

    /// Every key that starts with `prefix` (from `from` on, when given), until `visit` says stop (`false`).
    pub fn scan(
        &self,
        prefix: &Key,
        from: Option<&Key>,
        mut visit: impl FnMut(Fields<'_>, &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(prefix.end());
        options.set_readahead_size(1 << 20);
        let start = from.unwrap_or(prefix).bytes();
        let mode = IteratorMode::From(start, rocksdb::Direction::Forward);
        for item in self.snapshot.iterator_opt(mode, options) {
            let (key, value) = item.map_err(|e| failed(&e))?;
            let fields = key.get(prefix.bytes().len()..).ok_or(StorageError)?;
            if !visit(Fields(fields), &value)? {
                break;
            }
        }
        Ok(())
    }
}
