//! Inventory files: which objects they hold, and keeping up with their edits.
//!
//! A source that cannot be read changes nothing (R22.7): a file that does not parse keeps its last good content, and
//! the snapshot says what is wrong. Only a file that is gone takes its objects with it.
//!
//! Files are written in many ways: in place, truncated first, replaced by rename, deleted and created again. So a
//! changed file is read once it has been quiet for a moment, and an emptied file is taken for a half-written one.

mod watch;

pub(crate) use watch::Watcher;

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::manifest::{Format, ManifestError, Object, objects};

/// Larger files are refused.
const MAX_FILE: u64 = 128 * 1024 * 1024;
/// A file that never gets quiet is read after this long all the same.
const MAX_UNSETTLED: Duration = Duration::from_secs(3);
/// Problems named in one message.
const MAX_NAMED: usize = 3;

/// Everything that the sources hold at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Number of the scan that made it; 0 before the first one.
    pub(crate) scan: u64,
    /// All objects, each with the file that it is from.
    pub(crate) objects: Arc<Vec<(Object, Arc<Path>)>>,
    /// What cannot be read, when something cannot.
    pub(crate) problem: Option<String>,
}

/// The files and directories that are read.
#[derive(Debug)]
pub(crate) struct Inventory {
    namespace: String,
    sources: Vec<Source>,
    scans: u64,
    latest: Arc<Vec<(Object, Arc<Path>)>>,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    files: BTreeMap<PathBuf, Known>,
    problem: Option<String>,
    /// An own directory that need not exist yet.
    optional: bool,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct Known {
    /// As it was when `objects` or `problem` came from it.
    stamp: Option<Stamp>,
    /// As it was seen last; differs from `stamp` while a change waits to settle. `None` within: not there.
    seen: Option<(Option<Stamp>, Instant)>,
    objects: Arc<Vec<Object>>,
    problem: Option<String>,
}

/// Changes whenever a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    /// Also when only permissions change: a file that could not be read may be readable now.
    changed: (i64, i64),
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            modified: metadata.modified().ok(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
            inode: metadata.ino(),
        }
    }
}

/// How much to trust what is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Files are complete: at the start, and after we wrote them ourselves.
    Now,
    /// A changed file must be seen twice in the same state.
    WhenQuiet,
}

impl Inventory {
    /// Reads from `paths`, and from `own`, a directory that may be missing. Nothing is read yet.
    pub(crate) fn new(paths: Vec<PathBuf>, own: PathBuf, namespace: String) -> Self {
        let source = |path, optional| Source { path, files: BTreeMap::new(), problem: None, optional };
        let mut sources: Vec<_> = paths.into_iter().map(|path| source(path, false)).collect();
        sources.push(source(own, true));
        Self { namespace, sources, scans: 0, latest: Arc::default() }
    }

    /// The directories that hold the sources, for a watcher.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let parent = |path: &Path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        self.sources
            .iter()
            .map(|source| if source.path.is_dir() { source.path.clone() } else { parent(&source.path) })
            .collect()
    }

    /// Looks at every file and reads what changed. The flag says that some change has to settle: scan again soon.
    pub(crate) fn scan(&mut self, trust: Trust) -> (Snapshot, bool) {
        let mut unsettled = false;
        let mut changed = self.scans == 0;
        for source in &mut self.sources {
            source.scan(&self.namespace, trust, &mut changed, &mut unsettled);
        }
        self.scans += 1;
        if changed {
            self.latest = Arc::new(self.collect());
        }
        let snapshot = Snapshot { scan: self.scans, objects: self.latest.clone(), problem: self.problem() };
        (snapshot, unsettled)
    }

    /// All objects; of several with the same identity the first counts.
    fn collect(&self) -> Vec<(Object, Arc<Path>)> {
        let mut all = Vec::new();
        let mut owners: HashMap<(&str, &str, &str), &Path> = HashMap::new();
        for (path, file) in self.sources.iter().flat_map(|source| &source.files) {
            let shared: Arc<Path> = path.as_path().into();
            for object in file.objects.iter() {
                let identity = object.identity();
                match owners.get(&identity) {
                    None => {
                        owners.insert(identity, path);
                        all.push((object.clone(), shared.clone()));
                    }
                    // A directory and a file in it may both be named.
                    Some(owner) if *owner == path.as_path() => {}
                    Some(owner) => {
                        let (kind, namespace, name) = identity;
                        tracing::warn!(
                            kind,
                            namespace,
                            name,
                            first = %owner.display(),
                            second = %path.display(),
                            "an object is given twice; the first one counts"
                        );
                    }
                }
            }
        }
        all
    }

    fn problem(&self) -> Option<String> {
        let mut problems = self.sources.iter().flat_map(|source| {
            source.problem.iter().chain(source.files.values().filter_map(|f| f.problem.as_ref()))
        });
        let mut named: Vec<&str> = problems.by_ref().take(MAX_NAMED).map(String::as_str).collect();
        let more = match problems.count() {
            0 => None,
            more => Some(format!("and {more} more")),
        };
        named.extend(more.as_deref());
        if named.is_empty() { None } else { Some(named.join("; ")) }
    }
}

impl Source {
    fn scan(&mut self, namespace: &str, trust: Trust, changed: &mut bool, unsettled: &mut bool) {
        let listed = match list(&self.path) {
            Ok(listed) => {
                self.problem = None;
                listed
            }
            Err(error) if error.kind() == ErrorKind::NotFound && self.optional => Vec::new(),
            Err(error) => {
                self.problem = Some(match error.kind() {
                    ErrorKind::NotFound => format!("inventory {} does not exist", self.path.display()),
                    _ => format!("inventory {} cannot be read: {error}", self.path.display()),
                });
                // A file that was named and is gone was deleted. A directory that is gone is an accident (R22.7).
                match error.kind() == ErrorKind::NotFound && self.files.contains_key(&self.path) {
                    true => Vec::new(),
                    false => return,
                }
            }
        };
        let gone: Vec<PathBuf> = self.files.keys().filter(|path| !listed.contains(path)).cloned().collect();
        for path in gone {
            let Some(known) = self.files.get_mut(&path) else { continue };
            if known.settled(None, trust) {
                *changed |= !known.objects.is_empty();
                self.files.remove(&path);
            } else {
                *unsettled = true;
            }
        }
        for path in listed {
            let known = self.files.entry(path.clone()).or_default();
            match known.update(&path, namespace, trust) {
                Update::Same => {}
                Update::Changed => *changed = true,
                Update::Unsettled => *unsettled = true,
            }
        }
    }
}

enum Update {
    Same,
    Changed,
    Unsettled,
}

impl Known {
    /// True when the state on disk can be trusted.
    fn settled(&mut self, stamp: Option<Stamp>, trust: Trust) -> bool {
        if trust == Trust::Now {
            return true;
        }
        let now = Instant::now();
        match &mut self.seen {
            Some((seen, _)) if *seen == stamp => true,
            Some((seen, since)) => {
                *seen = stamp;
                now.duration_since(*since) > MAX_UNSETTLED
            }
            None => {
                self.seen = Some((stamp, now));
                false
            }
        }
    }

    fn update(&mut self, path: &Path, namespace: &str, trust: Trust) -> Update {
        let stamp = match std::fs::metadata(path) {
            Ok(metadata) => Stamp::of(&metadata),
            // Gone since it was listed: the next scan sees.
            Err(error) if error.kind() == ErrorKind::NotFound => return Update::Unsettled,
            Err(error) => return self.keep(format!("{}: {error}", path.display())),
        };
        if self.stamp == Some(stamp) {
            self.seen = None;
            return Update::Same;
        }
        if !self.settled(Some(stamp), trust) {
            return Update::Unsettled;
        }
        self.seen = None;
        let (text, stamp) = match read(path) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Update::Unsettled,
            Err(error) => {
                self.stamp = Some(stamp);
                return self.keep(format!("{}: {error}", path.display()));
            }
        };
        self.stamp = Some(stamp);
        match understand(path, &text, namespace, !self.objects.is_empty()) {
            Ok(mut objects) => {
                self.problem = None;
                if *self.objects == objects {
                    return Update::Same;
                }
                keep_same(&self.objects, &mut objects);
                self.objects = Arc::new(objects);
                Update::Changed
            }
            Err(error) => self.keep(format!("{}: {error}", path.display())),
        }
    }

    /// Keeps the last good content.
    fn keep(&mut self, problem: String) -> Update {
        if self.problem.as_ref() != Some(&problem) {
            tracing::warn!(%problem, "an inventory file cannot be used; its last good content stays in force");
        }
        self.problem = Some(problem);
        Update::Same
    }
}

/// Objects that are as before stay the very same, so that whoever compares sees it at once. Most edits change few of them in
/// place, or add and remove some in one place: looking at the same distance from either end finds nearly all.
fn keep_same(before: &[Object], after: &mut [Object]) {
    let share = |new: &mut Object, old: &Object| {
        if new == old {
            *new = old.clone();
        }
    };
    before.iter().zip(after.iter_mut()).for_each(|(old, new)| share(new, old));
    if before.len() != after.len() {
        before.iter().rev().zip(after.iter_mut().rev()).for_each(|(old, new)| share(new, old));
    }
}

fn understand(path: &Path, text: &str, namespace: &str, had: bool) -> Result<Vec<Object>, ManifestError> {
    let format = match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("json") => Format::Json,
        _ => Format::Yaml,
    };
    // No test for objects found: `items: []` says clearly that there are none.
    if had && !text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        return Err(ManifestError {
            line: 0,
            message: "is empty; delete the file, or write 'items: []' in a List, to remove its objects"
                .into(),
        });
    }
    objects(text, format, namespace)
}

/// The whole text, and the stamp that belongs to it. `Interrupted` when the file changed meanwhile.
fn read(path: &Path) -> io::Result<(String, Stamp)> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    if before.len() > MAX_FILE {
        return Err(io::Error::other(format!("larger than {} MiB", MAX_FILE / 1024 / 1024)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
    file.by_ref().take(MAX_FILE).read_to_end(&mut bytes)?;
    if Stamp::of(&file.metadata()?) != Stamp::of(&before) {
        return Err(ErrorKind::Interrupted.into());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        io::Error::new(ErrorKind::InvalidData, format!("line {line}: not UTF-8 text"))
    })?;
    Ok((text, Stamp::of(&before)))
}

/// The files of a source: itself, or those of a directory that look like manifests.
fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let known = path
            .extension()
            .is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e.eq_ignore_ascii_case(known)));
        if known && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
