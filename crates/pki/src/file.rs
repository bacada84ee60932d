//! Reading files that should be small.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes that a file may have: far more than the longest chain.
const LONGEST: u64 = 1024 * 1024;

/// Reads a file with certificates or a key. Blocks.
///
/// # Errors
/// It cannot be read, is no file, or is longer than anything of the kind; in words that name it.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let mut bytes = Vec::new();
    // To open something else, a pipe for example, may take for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{shown} is no file"));
    }
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{shown} is longer than {LONGEST} bytes, which no certificate is"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let error = || read(&path).unwrap_err();
        assert!(error().contains("cannot read") && error().contains("/a"), "{}", error());
        std::fs::write(&path, vec![0; LONGEST as usize + 1]).unwrap();
        assert!(error().contains("longer than"), "{}", error());
        std::fs::write(&path, b"text").unwrap();
        assert_eq!(read(&path).unwrap(), b"text");
        assert!(read(folder.path()).unwrap_err().contains("is no file"));
    }
}
