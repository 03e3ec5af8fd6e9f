//! RocksDB: the only file that names it. Its error texts do not leave this room; they go to the log.

use super::keys::{Key, Table};
use super::marker::{self, Found};
use super::{FORMAT_VERSION, FORMAT_VERSION_OLDEST};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Options, ReadOptions, WriteBatch, WriteOptions,
};
use std::path::{Path, PathBuf};

/// Rows in memory before they are written to a table file. Small, because they count as memory of the process and a start
/// after a crash reads them all from the log; large enough that an import makes few files.
const WRITE_BUFFER_BYTES: usize = 32 << 20;
/// Write buffers that wait to be written while the next one fills.
const WRITE_BUFFERS_MAX: i32 = 3;
const BACKGROUND_JOBS_MAX: i32 = 2;
/// Blocks of table files kept in memory. Only Read, ReadChanges and deletes look at them; questions never do.
const BLOCK_CACHE_BYTES: usize = 32 << 20;
const READAHEAD_BYTES: usize = 1 << 20;
/// A clean stop writes unwritten rows to a table file when there are more, so that the next start need not replay them.
const FLUSH_AT_STOP_BYTES: u64 = 1 << 20;

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
    #[error(
        "`{path}` has format {found}, this program reads {} to {}; use the bailiwick that wrote it or a newer one",
        FORMAT_VERSION_OLDEST,
        FORMAT_VERSION
    )]
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
    cache: Cache,
    sync: bool,
}

/// Bytes in memory that the storage itself takes, beside the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageMemory {
    /// Rows not yet written to a table file.
    pub write_buffers: u64,
    /// Blocks of table files.
    pub block_cache: u64,
    /// Indexes and filters of table files.
    pub table_readers: u64,
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
    /// newest commits (never half of one). `compress` is of what is written from now on.
    ///
    /// A directory that holds something else, a newer format or a damaged database is refused before anything in it is
    /// touched, as far as that can be seen from outside.
    pub fn open(path: &Path, sync: bool, compress: bool) -> Result<Storage, OpenError> {
        let fresh = match marker::look(path)? {
            Found::Nothing => {
                marker::write(path)?;
                true
            }
            Found::Begun => true,
            Found::Database => false,
        };
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let mut options = options(&cache, compress);
        options.create_if_missing(fresh);
        let db = DB::open(&options, path).map_err(|error| {
            let text = error.to_string();
            // RocksDB has no kind for it. A mere "lock" could stand in the path.
            if text.contains("While lock file") || text.contains("lock hold by current process") {
                let reason = "another process has it open; stop that one first".to_owned();
                return OpenError::Unusable { path: path.to_owned(), reason };
            }
            tracing::error!(%error, "rocksdb");
            if error.kind() == rocksdb::ErrorKind::Corruption {
                return OpenError::Damaged { path: path.to_owned(), what: "files of the database" };
            }
            let reason = format!("{:?}; check the path, its permissions, or restore a backup", error.kind());
            OpenError::Unusable { path: path.to_owned(), reason }
        })?;
        let storage = Storage { db, cache, sync };
        storage.check_format(path, fresh)?;
        Ok(storage)
    }

    fn check_format(&self, path: &Path, fresh: bool) -> Result<(), OpenError> {
        let damaged = |what| OpenError::Damaged { path: path.to_owned(), what };
        let key = Key::of(Table::Meta).u16(0);
        let found = self.db.get(key.bytes()).map_err(|error| {
            failed(&error);
            damaged("format version")
        })?;
        match found {
            // A creation that was cut off before this row left nothing else.
            None if !fresh && !self.is_empty() => Err(damaged("no format version")),
            None => {
                let mut batch = Batch::default();
                batch.put(&key, &FORMAT_VERSION.to_be_bytes());
                self.commit(batch).map_err(|_| damaged("cannot write"))
            }
            Some(bytes) => match super::Fields(&bytes).u32() {
                Some(found) if found > FORMAT_VERSION => Err(OpenError::Newer { path: path.to_owned(), found }),
                Some(FORMAT_VERSION) => Ok(()),
                // What an older program wrote is read as it is; what this one adds, that one must not misread.
                Some(FORMAT_VERSION_OLDEST..FORMAT_VERSION) => {
                    marker::write(path)?;
                    let mut batch = Batch::default();
                    batch.put(&key, &FORMAT_VERSION.to_be_bytes());
                    self.commit(batch).map_err(|_| damaged("cannot write"))
                }
                Some(_) | None => Err(damaged("format version")),
            },
        }
    }

    fn is_empty(&self) -> bool {
        let mut rows = self.db.raw_iterator();
        rows.seek_to_first();
        !rows.valid() && rows.status().is_ok()
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

    fn property(&self, name: &str) -> u64 {
        self.db.property_int_value(name).ok().flatten().unwrap_or(0)
    }

    /// Bytes on disk, near enough.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.property("rocksdb.total-sst-files-size") + self.property("rocksdb.cur-size-all-mem-tables")
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory(&self) -> StorageMemory {
        StorageMemory {
            write_buffers: self.property("rocksdb.cur-size-all-mem-tables"),
            block_cache: self.cache.get_usage() as u64,
            table_readers: self.property("rocksdb.estimate-table-readers-mem"),
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if self.property("rocksdb.cur-size-active-mem-table") > FLUSH_AT_STOP_BYTES
            && let Err(error) = self.db.flush()
        {
            failed(&error); // nothing is lost: the next start replays the log
        }
    }
}

fn options(cache: &Cache, compress: bool) -> Options {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_bloom_filter(10.0, false); // single rows are looked up for deletes and pages
    let mut options = Options::default();
    options.set_block_based_table_factory(&tables);
    options.set_compression_type(if compress { DBCompressionType::Lz4 } else { DBCompressionType::None });
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
    options.set_max_background_jobs(BACKGROUND_JOBS_MAX);
    options.set_keep_log_file_num(4);
    // An unfinished end of the log is what a crash leaves; damage before its end is not, and would lose what was
    // acknowledged behind it: refuse to open.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options
}

impl Reading<'_> {
    /// The value of a key.
    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StorageError> {
        self.snapshot.get(key.bytes()).map_err(|e| failed(&e))
    }

    /// Every key that starts with `prefix` (from `from` on, when given), until `visit` says stop (`false`). The key is
    /// handed over without the prefix.
    pub fn scan(
        &self,
        prefix: &Key,
        from: Option<&Key>,
        visit: impl FnMut(super::Fields<'_>, &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        self.range(prefix.bytes().len(), from.unwrap_or(prefix), prefix.end(), visit)
    }

    /// The same for few keys, which are likely to be read again: nothing is read ahead, and what is read is kept in memory.
    pub fn look(
        &self,
        prefix: &Key,
        from: Option<&Key>,
        visit: impl FnMut(super::Fields<'_>, &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let options = ReadOptions::default();
        self.walk(options, prefix.bytes().len(), (from.unwrap_or(prefix), prefix.end()), visit)
    }

    /// Every key from `from` to before `to`, until `visit` says stop. `skip` bytes of each key are left out.
    pub fn range(
        &self,
        skip: usize,
        from: &Key,
        to: Vec<u8>,
        visit: impl FnMut(super::Fields<'_>, &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let mut options = ReadOptions::default();
        options.set_readahead_size(READAHEAD_BYTES);
        options.fill_cache(false); // a scan would push out what single look-ups need
        self.walk(options, skip, (from, to), visit)
    }

    fn walk(
        &self,
        mut options: ReadOptions,
        skip: usize,
        (from, to): (&Key, Vec<u8>),
        mut visit: impl FnMut(super::Fields<'_>, &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        options.set_iterate_upper_bound(to);
        let mut rows = self.snapshot.raw_iterator_opt(options);
        rows.seek(from.bytes());
        while let Some((key, value)) = rows.item() {
            let fields = key.get(skip..).ok_or(StorageError)?;
            if !visit(super::Fields(fields), value)? {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(|e| failed(&e))
    }
}
