use super::*;
use crate::table::tests::config;
use crate::table::{Assembler, Encoded};

fn table(revision: u64, gateways: &[(&str, u16)]) -> Table {
    let mut parts = Encoded::new(&config(revision, gateways), &Encoded::default()).parts(None);
    Assembler::default().take(parts.remove(0).unwrap(), &Table::default()).unwrap().unwrap()
}

#[test]
fn a_table_is_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("deep/data");
    let cache = Cache::open(&folder, "prod").unwrap();
    assert!(cache.load().is_none());
    for revision in [7, 8] {
        let kept = table(revision, &[("shop", 1), ("cart", 2)]);
        cache.store(&kept).unwrap();
        let read = cache.load().unwrap();
        assert_eq!((read.revision, read.digest, &read.config), (revision, kept.digest, &kept.config));
    }
    let message = Cache::open(&folder, "prod").unwrap_err().to_string();
    assert!(message.contains("another agent uses"), "{message}");
    drop(cache);
    assert!(Cache::open(&folder, "prod").unwrap().load().is_some());
}

/// Whatever a file holds, it is no table, or exactly the one that was kept; and what is no table is still there to be looked at.
#[test]
fn a_damaged_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), "prod").unwrap();
    cache.store(&table(7, &[("shop", 1), ("cart", 2)])).unwrap();
    let file = folder.path().join(FILE);
    let aside = folder.path().join("table.set-aside");
    let good = fs::read(&file).unwrap();
    let mut bad: Vec<Vec<u8>> = (0..good.len()).step_by(7).map(|end| good[..end].to_vec()).collect();
    bad.extend((0..good.len()).step_by(5).map(|place| {
        let mut bytes = good.clone();
        bytes[place] ^= 0x20;
        bytes
    }));
    bad.push(b"something else entirely\n".to_vec());
    bad.push(vec![0xff; 100]);
    for bytes in bad {
        fs::write(&file, &bytes).unwrap();
        assert!(cache.load().is_none(), "{:?}", String::from_utf8_lossy(&bytes));
        assert!(!file.exists());
        assert_eq!(fs::read(&aside).unwrap(), bytes);
    }
    fs::write(&file, &good).unwrap();
    assert!(cache.load().is_some());
}

#[test]
fn tables_of_others_are_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    Cache::open(folder.path(), "prod").unwrap().store(&table(7, &[("shop", 1)])).unwrap();
    let bytes = Bytes::from(fs::read(folder.path().join(FILE)).unwrap());
    assert!(parse(bytes.clone(), "prod").is_ok());
    assert!(parse(bytes.clone(), "test").unwrap_err().contains("of the environment 'prod', not 'test'"));
    let text = String::from_utf8(bytes.to_vec()).unwrap().replacen("vamp-table 1", "vamp-table 2", 1);
    assert!(parse(text.into(), "prod").unwrap_err().contains("form 2"));
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let message = Cache::open(&file, "prod").unwrap_err().to_string();
    assert!(message.contains("cannot write"), "{message}");
}
