//! Both stores of this crate against the suite.

mod memory {
    async fn open() -> (store::MemoryStore, ()) {
        (store::MemoryStore::new(), ())
    }

    testkit::conformance!(open);
}

mod sqlite {
    async fn open() -> (store::SqliteStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (store::SqliteStore::open(folder.path(), "default").await.unwrap(), folder)
    }

    testkit::conformance!(open);
}
