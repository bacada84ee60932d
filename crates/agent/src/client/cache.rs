//! The last good table on disk, so that an agent serves without a controller, also after its own restart.
//!
//! ```text
//! vamp-table 1 SHA-256-OF-THE-REST
//! {"environment":"prod","revision":42,"gateways":2}
//! {"name":"cart",...}
//! {"name":"shop",...}
//! ```
//!
//! A file is written beside the old one, made durable, and takes its place at once. One that is torn, of another environment or
//! of a version of Vamp that is not known is set aside, never overwritten.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::table::Table;

const MAGIC: &str = "vamp-table";
const FORMAT: &str = "1";
const FILE: &str = "table";
const LOCK: &str = "lock";
/// Larger files are none of ours.
const MOST_BYTES: u64 = 512 * 1024 * 1024;

/// A folder with the last table of one agent. Nobody else can open it meanwhile.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    environment: String,
    /// Locked as long as this lives.
    _lock: File,
}

/// Why a folder cannot be used, or a table not be kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Another agent works there.
    #[error("another agent uses {}: give each a --data-dir of its own", .0.display())]
    InUse(PathBuf),
    /// A file.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl Cache {
    /// Opens a folder, which is made when it is not there.
    ///
    /// # Errors
    /// Another agent uses it, or it cannot be written.
    pub fn open(folder: &Path, environment: &str) -> Result<Self, CacheError> {
        let failed = |file: &Path| {
            let file = file.to_owned();
            move |error| CacheError::Write(file, error)
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let path = folder.join(LOCK);
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CacheError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(CacheError::Write(path, error)),
        }
        Ok(Self { folder: folder.to_owned(), environment: environment.to_owned(), _lock: lock })
    }

    /// The table that was last kept; `None` when there is none that can be used.
    pub(crate) fn load(&self) -> Option<Table> {
        let file = self.file();
        let read = match fs::metadata(&file) {
            Ok(metadata) if metadata.len() > MOST_BYTES => Err("it is far too large".to_owned()),
            _ => match fs::read(&file) {
                Ok(bytes) => parse(Bytes::from(bytes), &self.environment),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => Err(error.to_string()),
            },
        };
        match read {
            Ok(table) => Some(table),
            Err(reason) => {
                let aside = self.folder.join(format!("{FILE}.set-aside"));
                match fs::rename(&file, &aside) {
                    Ok(()) => tracing::warn!(
                        "the table in {} cannot be used and is now {}: {reason}",
                        file.display(),
                        aside.display()
                    ),
                    Err(error) => {
                        tracing::warn!("the table in {} cannot be used: {reason} ({error})", file.display());
                    }
                }
                None
            }
        }
    }

    /// Keeps a table: when this returns, it is there after a loss of power.
    pub(crate) fn store(&self, table: &Table) -> Result<(), CacheError> {
        let file = self.file();
        let part = self.folder.join(format!("{FILE}.part"));
        let written = File::create(&part)
            .and_then(|mut to| {
                to.write_all(&encode(table, &self.environment))?;
                to.sync_all()
            })
            .and_then(|()| fs::rename(&part, &file))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        written.map_err(|error| CacheError::Write(file, error))
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }
}

fn encode(table: &Table, environment: &str) -> Vec<u8> {
    let count = table.gateways().count();
    let about = json!({"environment": environment, "revision": table.revision, "gateways": count});
    let mut rest = about.to_string().into_bytes();
    rest.push(b'\n');
    for (_, json) in table.gateways() {
        rest.extend_from_slice(json);
        rest.push(b'\n');
    }
    let mut all = format!("{MAGIC} {FORMAT} {}\n", hex(&Sha256::digest(&rest))).into_bytes();
    all.append(&mut rest);
    all
}

/// # Errors
/// Why it cannot be used.
fn parse(bytes: Bytes, environment: &str) -> Result<Table, String> {
    let end = bytes.iter().position(|b| *b == b'\n').ok_or("it is torn")?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "it is no table of Vamp")?;
    let (format, digest) = match head.split(' ').collect::<Vec<_>>()[..] {
        [MAGIC, format, digest] => (format, digest),
        _ => return Err("it is no table of Vamp".into()),
    };
    if format != FORMAT {
        return Err(format!("it is of form {format}, this version of Vamp reads form {FORMAT}"));
    }
    let rest = bytes.slice(end + 1..);
    if hex(&Sha256::digest(&rest)) != digest {
        return Err("it is torn: its checksum is wrong".into());
    }
    let mut lines = rest.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let about: Value =
        serde_json::from_slice(lines.next().unwrap_or_default()).map_err(|error| error.to_string())?;
    let of = about["environment"].as_str().unwrap_or_default();
    if of != environment {
        return Err(format!("it is of the environment '{of}', not '{environment}'"));
    }
    let revision = about["revision"].as_u64().ok_or("it has no revision")?;
    let mut gateways = Vec::new();
    for line in lines {
        let gateway: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let name = gateway["name"].as_str().ok_or("a gateway has no name")?.to_owned();
        gateways.push((name, rest.slice_ref(line)));
    }
    if about["gateways"].as_u64() != Some(gateways.len() as u64) {
        return Err("gateways are missing".into());
    }
    Table::read(revision, gateways.iter().map(|(name, json)| (name.as_str(), json.clone())))
        .map_err(|error| error.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;
