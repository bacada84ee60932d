//! Opening: who may, and whether the file is ours and whole. Nothing is written to a file before that is known.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::schema;
use crate::StoreError;

/// An open file and all that belongs to it.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) options: SqliteConnectOptions,
    pub(super) connection: SqliteConnection,
    pub(super) readers: SqlitePool,
    pub(super) lock: File,
    pub(super) last_event: u64,
}

pub(super) async fn open(data_dir: &Path, environment: &str) -> Result<Opened, StoreError> {
    let folder = data_dir.join("environments");
    let name = file_name(environment)?;
    fs::create_dir_all(&folder).map_err(|error| system(&folder, "create the folder", &error))?;
    let lock = lock(&folder.join(format!("{name}.lock")), data_dir).await?;
    let path = folder.join(format!("{name}.db"));
    match fs::metadata(&path) {
        Ok(_) => examine(&path).await?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&folder, &path).await?,
        Err(error) => return Err(system(&path, "open", &error)),
    }
    let options = options(&path);
    let failed = |error| explain(&path, error);
    let mut connection = options.connect().await.map_err(failed)?;
    let version = schema::version(&mut connection).await.map_err(failed)?;
    schema::migrate(&mut connection, version).await.map_err(failed)?;
    let last_event: i64 = sqlx::query_scalar("select last_event from environment")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(2)
        .idle_timeout(Duration::from_secs(60))
        .acquire_timeout(Duration::from_secs(10))
        .connect_lazy_with(options.clone().pragma("query_only", "on"));
    Ok(Opened { last_event: last_event.unsigned_abs(), path, options, connection, readers, lock })
}

const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_STEP: Duration = Duration::from_millis(10);

/// How every connection is set up. `synchronous = FULL`: a commit is on the disk before it is answered.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(false)
        .pragma("journal_size_limit", "16777216")
        .pragma("trusted_schema", "off")
        .disable_statement_logging()
}

/// Environments become files: letters, digits, `-`, `_` and `.` (not first).
fn file_name(environment: &str) -> Result<&str, StoreError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if environment.is_empty()
        || environment.len() > 100
        || environment.starts_with('.')
        || !environment.chars().all(fine)
    {
        return Err(StoreError::Name(format!(
            "Invalid environment name '{environment}': use letters, digits, '-', '_' and '.', at most 100, not starting with '.'"
        )));
    }
    Ok(environment)
}

/// The lock belongs to the open file: the system releases it when the process ends, however that happens. A predecessor that is just
/// ending, or a child process between its fork and exec, may hold it a moment longer, hence the patience.
async fn lock(path: &Path, data_dir: &Path) -> Result<File, StoreError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| system(path, "open", &error))?;
    let mut attempt = file.try_lock();
    for _ in 0..LOCK_PATIENCE.as_millis() / LOCK_STEP.as_millis() {
        if !matches!(attempt, Err(TryLockError::WouldBlock)) {
            break;
        }
        tokio::time::sleep(LOCK_STEP).await;
        attempt = file.try_lock();
    }
    match attempt {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.take(20).read_to_string(&mut owner);
            let owner = match owner.trim() {
                "" => String::new(),
                pid => format!(" (process {pid})"),
            };
            return Err(StoreError::InUse(format!(
                "The data directory {} is in use by another vamp{owner}. Stop it, or choose another directory with --data-dir.",
                data_dir.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(system(path, "lock", &error)),
    }
    // Only for the message above; without it the message names no process.
    let _ = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
    Ok(file)
}

/// Makes a new file under another name and renames it when it is complete: whatever interrupts us, a file with the final name is whole.
async fn create(folder: &Path, path: &Path) -> Result<(), StoreError> {
    let log = beside(path, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(StoreError::Corrupt(format!(
            "{} is missing, but {} with its last changes is there. Put the file back, or move the log away to start empty.",
            path.display(),
            log.display()
        )));
    }
    let draft = beside(path, ".new");
    for leftover in [draft.clone(), beside(&draft, "-journal"), log, beside(path, "-shm")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system(&leftover, "remove", &error));
            }
            _ => {}
        }
    }
    private(&draft).map_err(|error| system(&draft, "create", &error))?;
    let options = SqliteConnectOptions::new()
        .filename(&draft)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let build = async {
        let mut connection = options.connect().await?;
        schema::migrate(&mut connection, 0).await?;
        connection.close().await
    };
    build.await.map_err(|error| explain(&draft, error))?;
    let publish = File::open(&draft)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| File::open(folder)?.sync_all());
    publish.map_err(|error| system(path, "create", &error))
}

/// Creates an empty file that only its owner may read: it will hold whatever users put into artifacts.
fn private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Refuses a file that is not ours or not whole. Reads only: neither the file nor its log is changed.
async fn examine(path: &Path) -> Result<(), StoreError> {
    let header = header(path).map_err(|error| system(path, "read", &error))?;
    match header {
        Header::Ours => {}
        Header::Foreign(what) => {
            return Err(StoreError::Foreign(format!(
                "{} is not a store of Vamp ({what}). It was left as it is: move it away, or choose another directory with --data-dir.",
                path.display()
            )));
        }
        Header::Torn(what) => return Err(corrupt(path, what)),
    }
    let failed = |error| explain(path, error);
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed)?;
    let version = schema::version(&mut connection).await.map_err(failed)?;
    if version > schema::CURRENT {
        return Err(StoreError::Foreign(format!(
            "{} was written by a newer Vamp (format {version}, this one knows {}). Use that version, or another directory.",
            path.display(),
            schema::CURRENT
        )));
    }
    let report: Vec<String> =
        sqlx::query_scalar("pragma quick_check(3)").fetch_all(&mut connection).await.map_err(failed)?;
    if report != ["ok"] {
        return Err(corrupt(path, &report.join("; ")));
    }
    connection.close().await.map_err(failed)
}

enum Header {
    Ours,
    Foreign(&'static str),
    Torn(&'static str),
}

fn header(path: &Path) -> io::Result<Header> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let length = metadata.len();
    if !metadata.is_file() {
        return Ok(Header::Foreign("it is no regular file"));
    }
    file.take(100).read_to_end(&mut bytes)?;
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    Ok(match bytes.first_chunk::<16>() {
        None if bytes.is_empty() => Header::Torn("the file is empty"),
        None => Header::Foreign("it is too short"),
        Some(magic) if magic != MAGIC => Header::Foreign("it is no SQLite file"),
        Some(_) => match bytes.get(68..72) {
            None => Header::Torn("the file ends within its header"),
            Some(id) if id == schema::APPLICATION_ID.to_be_bytes() => {
                // With a log at hand the engine can mend the end of the file.
                let mended = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
                if mended || is_complete(&bytes, length) {
                    Header::Ours
                } else {
                    Header::Torn("a part of the file is missing at its end")
                }
            }
            Some(_) => Header::Foreign("it is the SQLite file of another program"),
        },
    })
}

/// True when a file is as long as its header says. The engine itself reads a part of a page that is missing as zeros.
fn is_complete(header: &[u8], length: u64) -> bool {
    let number = |range: std::ops::Range<usize>| {
        header.get(range).map_or(0, |bytes| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let page_size = match number(16..18) {
        1 => 65_536,
        size => size.max(512),
    };
    length.is_multiple_of(page_size) && length / page_size >= number(28..32)
}

/// A failure of the engine, as a message that says what to do.
pub(super) fn explain(path: &Path, error: sqlx::Error) -> StoreError {
    // Result codes of SQLite: the low byte is the kind, the rest says more.
    const BUSY: u32 = 5;
    const CORRUPT: u32 = 11;
    const FULL: u32 = 13;
    const NOT_A_DATABASE: u32 = 26;
    const IO_SHARED_MEMORY_SIZE: u32 = 10 | (19 << 8);
    let file = path.display();
    let code = match &error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => Some(FULL),
        _ => None,
    };
    match code {
        Some(code) if code & 0xff == FULL || code == IO_SHARED_MEMORY_SIZE => StoreError::Full(format!(
            "No room left for {file}. What was stored before is safe; free some space and try again."
        )),
        Some(code) if matches!(code & 0xff, CORRUPT | NOT_A_DATABASE) => corrupt(path, &error.to_string()),
        Some(code) if code & 0xff == BUSY => StoreError::InUse(format!(
            "{file} is locked by another program ({error}). Close it and try again."
        )),
        _ if matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => {
            corrupt(path, &error.to_string())
        }
        _ => StoreError::Io(format!("The store {file} failed: {error}")),
    }
}

fn corrupt(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{} is damaged: {what}. It was left as it is: restore it from a backup (with the -wal file beside it), or move it away to start empty.",
        path.display()
    ))
}

fn system(path: &Path, action: &str, error: &io::Error) -> StoreError {
    let message = format!("Cannot {action} {}: {error}.", path.display());
    if error.kind() == io::ErrorKind::StorageFull {
        StoreError::Full(message)
    } else {
        StoreError::Io(message)
    }
}

/// The file whose name is that of `path` with something appended.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
