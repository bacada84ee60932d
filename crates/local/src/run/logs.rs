//! What replicas print: the last lines in memory, more of them in a bounded file.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Lines kept in memory for each replica.
const MAX_LINES: usize = 1_000;
/// Longer lines are cut.
const MAX_LINE: usize = 8 * 1024;
/// A file that grows beyond this becomes `NAME.log.1`, replacing the one before.
const MAX_FILE: u64 = 1024 * 1024;
/// Logs of replicas that are gone, kept for those who ask why.
const MAX_GONE: usize = 50;
/// Files of earlier runs that are kept, newest first.
const MAX_OLD_FILES: usize = 200;

/// The logs of all replicas of a platform.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    directory: PathBuf,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    by_name: HashMap<String, Log>,
    gone: VecDeque<String>,
}

impl Logs {
    /// Files go below `directory`, which is created when needed. Of the files that are there, the oldest are removed
    /// when they are many: names change with every version, so they would pile up.
    pub(crate) fn new(directory: PathBuf) -> Self {
        remove_oldest(&directory);
        Self { directory, books: Arc::default() }
    }

    /// The log of a replica, new or continued.
    pub(crate) fn open(&self, name: &str) -> Log {
        let mut books = lock(&self.books);
        books.gone.retain(|gone| gone != name);
        let path = self.directory.join(format!("{name}.log"));
        books.by_name.entry(name.to_owned()).or_insert_with(|| Log::new(path)).clone()
    }

    /// Says that a replica is gone; its log is kept for a while.
    pub(crate) fn close(&self, name: &str) {
        let mut books = lock(&self.books);
        books.gone.push_back(name.to_owned());
        while books.gone.len() > MAX_GONE {
            if let Some(oldest) = books.gone.pop_front()
                && let Some(log) = books.by_name.remove(&oldest)
            {
                log.remove_files();
            }
        }
    }

    /// The last `lines` lines of a replica, oldest first.
    pub(crate) fn tail(&self, name: &str, lines: usize) -> Option<Vec<String>> {
        lock(&self.books).by_name.get(name).map(|log| log.tail(lines))
    }
}

/// The log of one replica. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    lines: VecDeque<String>,
    /// `None` until the first line, and after a failure to write: logs must never stop a service.
    file: Option<File>,
    size: u64,
    broken: bool,
}

impl Log {
    fn new(path: PathBuf) -> Self {
        let inner = Inner { path, lines: VecDeque::new(), file: None, size: 0, broken: false };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Adds a line.
    pub(crate) fn push(&self, line: String) {
        let mut inner = lock(&self.inner);
        inner.write(&line);
        if inner.lines.len() == MAX_LINES {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
    }

    /// Adds a line that the platform itself has to say.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        self.push(format!("[vamp] {text}"));
    }

    /// Copies lines until the stream ends.
    pub(crate) async fn copy(self, stream: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            let available = match reader.fill_buf().await {
                Ok([]) | Err(_) => break,
                Ok(available) => available,
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(available.len(), |at| at + 1);
            let text = &available[..end.unwrap_or(available.len())];
            line.extend_from_slice(&text[..text.len().min(MAX_LINE - line.len().min(MAX_LINE))]);
            reader.consume(used);
            if end.is_some() {
                self.push(text_of(&line));
                line.clear();
            }
        }
        if !line.is_empty() {
            self.push(text_of(&line));
        }
    }

    fn tail(&self, lines: usize) -> Vec<String> {
        let inner = lock(&self.inner);
        inner.lines.iter().skip(inner.lines.len().saturating_sub(lines)).cloned().collect()
    }

    fn remove_files(&self) {
        let inner = lock(&self.inner);
        let _ = std::fs::remove_file(&inner.path);
        let _ = std::fs::remove_file(older(&inner.path));
    }
}

impl Inner {
    fn write(&mut self, line: &str) {
        if self.broken {
            return;
        }
        if let Err(error) = self.try_write(line) {
            self.broken = true;
            self.file = None;
            tracing::warn!(path = %self.path.display(), %error, "a log file cannot be written; lines stay in memory only");
        }
    }

    fn try_write(&mut self, line: &str) -> std::io::Result<()> {
        if self.size > MAX_FILE {
            self.file = None;
            std::fs::rename(&self.path, older(&self.path))?;
        }
        if self.file.is_none() {
            if let Some(directory) = self.path.parent() {
                std::fs::create_dir_all(directory)?;
            }
            let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            // One write a line, so that lines of several streams do not mix.
            file.write_all(format!("{line}\n").as_bytes())?;
            self.size += line.len() as u64 + 1;
        }
        Ok(())
    }
}

fn remove_oldest(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    for (_, path) in files.iter().rev().skip(MAX_OLD_FILES) {
        let _ = std::fs::remove_file(path);
    }
}

fn older(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
