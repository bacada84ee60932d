//! An authority in a folder, for laptops and tests: `ca.crt`, which agents need, and `ca.key`, which nobody else may have.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Authority, AuthorityError};

/// The file with the certificates.
pub fn certificates(folder: &Path) -> PathBuf {
    folder.join("ca.crt")
}

fn key(folder: &Path) -> PathBuf {
    folder.join("ca.key")
}

/// The authority of a folder: what is there, or a new one. Of several processes that begin at once, all get the same.
///
/// # Errors
/// A file cannot be read or written, or is not what it should be; it is never overwritten then.
pub fn open(folder: &Path, now: Timestamp) -> Result<Authority, AuthorityError> {
    fs::create_dir_all(folder).map_err(failed("cannot make the folder", folder))?;
    let key = key(folder);
    // Key and certificates are one file, so that there is never one without the other; `ca.crt` is a copy for agents.
    let kept = match fs::read_to_string(&key) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = Authority::make(now)?;
            create(&key, &both(&made))?
        }
        Err(error) => return Err(failed("cannot read", &key)(error)),
    };
    let mut authority = split(&kept)?;
    if let Some(next) = authority.renewed(now)? {
        replace(&key, &both(&next), 0o600)?;
        authority = next;
    }
    let certificates = certificates(folder);
    if fs::read_to_string(&certificates).ok().as_ref() != Some(&authority.certificates) {
        replace(&certificates, &authority.certificates, 0o644)?;
    }
    Ok(authority)
}

fn both(authority: &Authority) -> String {
    format!("{}{}", authority.key, authority.certificates)
}

fn split(kept: &str) -> Result<Authority, AuthorityError> {
    let at = kept.find("-----BEGIN CERTIFICATE-----");
    let at = at.ok_or_else(|| AuthorityError::Certificate("there is none in ca.key".into()))?;
    let (key, certificates) = kept.split_at(at);
    Authority::from_pem(certificates, key)
}

/// Writes a file that is not there yet, whole; what is there when somebody was faster.
fn create(file: &Path, text: &str) -> Result<String, AuthorityError> {
    let part = write(file, text, 0o600)?;
    let linked = fs::hard_link(&part, file);
    let _ = fs::remove_file(&part);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("cannot write", file)(error))
        }
        _ => fs::read_to_string(file).map_err(failed("cannot read", file)),
    }
}

fn replace(file: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let part = write(file, text, mode)?;
    fs::rename(&part, file).map_err(failed("cannot write", file))
}

/// A file beside it, of this process alone.
fn write(file: &Path, text: &str, mode: u32) -> Result<PathBuf, AuthorityError> {
    let number = std::process::id();
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    let part = file.with_extension(format!("part-{number}-{thread}"));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&part)
        .and_then(|mut to| to.write_all(text.as_bytes()).and_then(|()| to.sync_all()));
    written.map_err(failed("cannot write", &part))?;
    Ok(part)
}

fn failed(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> AuthorityError {
    let file = file.to_owned();
    move |source| AuthorityError::File { what, file, source }
}
