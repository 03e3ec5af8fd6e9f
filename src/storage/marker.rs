//! The marker: a small text file that says that a directory is ours and which format it has.
//!
//! It is written before the database in it is made, and read before RocksDB sees the directory: RocksDB creates files in any
//! directory that it is given, and changes files of any database that it opens, whoever wrote it.

use super::{FORMAT_VERSION, OpenError};
use std::fs;
use std::io::Write;
use std::path::Path;

/// The file's name.
const NAME: &str = "BAILIWICK";
/// The marker while it is written.
const PART: &str = "BAILIWICK.part";
/// What stands before the version.
const TEXT: &str = "bailiwick database, format ";
/// RocksDB's root: it names the list of all other files.
const ROOT: &str = "CURRENT";

/// What is in a directory that may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or no directory.
    Nothing,
    /// A marker alone: a creation that was cut off.
    Begun,
    /// A database of a version that we read.
    Database,
}

/// Looks at a directory without changing it.
pub(super) fn look(path: &Path) -> Result<Found, OpenError> {
    let damaged = |what| OpenError::Damaged { path: path.to_owned(), what };
    let unusable = |reason: String| OpenError::Unusable { path: path.to_owned(), reason };
    let mut names = Vec::new();
    match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unusable(format!("{error}; check the path and its permissions"))),
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|error| unusable(format!("{error}; check its permissions")))?;
                names.push(entry.file_name());
            }
        }
    }
    if names.iter().all(|n| n == PART) {
        return Ok(Found::Nothing);
    }
    if !names.iter().any(|n| n == NAME) {
        return Err(unusable(format!(
            "it holds other files and no `{NAME}`, so it is not a database of bailiwick; choose an empty directory"
        )));
    }
    let text = fs::read_to_string(path.join(NAME)).map_err(|_| damaged("the marker file"))?;
    let version = text.strip_prefix(TEXT).and_then(|rest| rest.trim_end().parse::<u32>().ok());
    match version {
        None | Some(0) => return Err(damaged("the marker file")),
        Some(found) if found > FORMAT_VERSION => return Err(OpenError::Newer { path: path.to_owned(), found }),
        Some(_) => {}
    }
    let begun = |name: &std::ffi::OsString| {
        // What RocksDB makes before its root file.
        let name = name.to_string_lossy();
        name == NAME || name == PART || name == "LOCK" || name == "IDENTITY" || name.starts_with("LOG")
    };
    if names.iter().any(|n| n == ROOT) {
        Ok(Found::Database)
    } else if names.iter().all(begun) {
        Ok(Found::Begun)
    } else if names.iter().any(|n| n.to_string_lossy().ends_with(".sst")) {
        Err(damaged("the file CURRENT is missing"))
    } else {
        // A first start that was cut off left a manifest, and nothing was acknowledged: but a log may hold writes.
        let log = |n: &std::ffi::OsString| n.to_string_lossy().ends_with(".log");
        let written = |n: &std::ffi::OsString| fs::metadata(path.join(n)).map_or(true, |m| m.len() > 0);
        if names.iter().any(|n| log(n) && written(n)) {
            Err(damaged("the file CURRENT is missing"))
        } else {
            Ok(Found::Begun)
        }
    }
}

/// Makes a directory, and those above it that are not there, for the user of this process alone: names, tuples and texts lie there
/// in clear. One that is there keeps what it has.
fn make(path: &Path) -> std::io::Result<()> {
    let mut maker = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
    maker.recursive(true).create(path)
}

/// Marks a directory as ours, and makes it when it is not there.
pub(super) fn write(path: &Path) -> Result<(), OpenError> {
    let made = || -> std::io::Result<()> {
        make(path)?;
        let part = path.join(PART);
        let mut file = fs::File::create(&part)?;
        writeln!(file, "{TEXT}{FORMAT_VERSION}")?;
        file.sync_all()?;
        fs::rename(&part, path.join(NAME))?;
        fs::File::open(path)?.sync_all()
    };
    made().map_err(|error| OpenError::Unusable {
        path: path.to_owned(),
        reason: format!("{error}; check the path and its permissions"),
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_directory_that_is_made_is_for_its_user_alone() {
        let parent = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = parent.path().join("above").join("data");
        write(&path).unwrap();
        assert_eq!((mode(&path), mode(&parent.path().join("above"))), (0o700, 0o700));
        // One that somebody made for a group stays as they made it.
        let shared = parent.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o750)).unwrap();
        write(&shared).unwrap();
        assert_eq!(mode(&shared), 0o750);
    }
}
