//! What can go wrong, in words for the person who has to mend it.

/// Why a store did not do what it was asked to. Nothing of a failed commit is kept, except as [`StoreError::InDoubt`] says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A record was not as the commit expected.
    #[error("'{kind}/{name}' was changed by somebody else in the meantime")]
    Conflict {
        /// Kind of the record.
        kind: String,
        /// Name of the record.
        name: String,
    },
    /// No room left. Earlier writes are safe and later ones succeed once there is room again.
    #[error("{0}")]
    Full(String),
    /// The commit is too large, and would be at any time.
    #[error("{0}")]
    TooLarge(String),
    /// The store cannot be reached at the moment, or does not let us in. Nothing was written.
    #[error("{0}")]
    Unavailable(String),
    /// The commit was sent but no answer came in time: it was kept whole or not at all. Load again to see which; a commit before
    /// that ends with a conflict when it was kept.
    #[error("{0}")]
    InDoubt(String),
    /// What is kept is damaged; it was not touched.
    #[error("{0}")]
    Corrupt(String),
    /// What is there belongs to another program, or to a newer Vamp; it was not touched.
    #[error("{0}")]
    Foreign(String),
    /// Another process uses the store.
    #[error("{0}")]
    InUse(String),
    /// The name of the environment cannot be the name of a file.
    #[error("{0}")]
    Name(String),
    /// Anything else the operating system or the engine refused.
    #[error("{0}")]
    Io(String),
}
