//! The one integration binary, so that RocksDB is linked once. Each module says what it proves.

mod tidy;
mod conformance;
