//! The embedded store: one SQLite file for each environment.
//!
//! ```text
//! DIR/environments/NAME.db       records, events           NAME.db-wal   what was committed since the last checkpoint
//!                  NAME.lock     held by the process that uses it        NAME.db-shm   scratch of the engine
//! ```
//!
//! One connection writes, a few read beside it (write-ahead log). A commit is one `begin immediate` transaction and one
//! `fsync`. A connection that met an error is thrown away and replaced: whatever state it was in, the next commit starts afresh.

mod open;
mod read;
mod schema;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use model::event::{Event, EventQuery};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Mutex;

use crate::id::EventIds;
use crate::{Aggregation, Commit, Committed, EventPage, Loaded, Page, Pruned, Retention, Store, StoreError};

/// A store in a file. Cheap to clone; the file is released when the last clone is gone.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    options: SqliteConnectOptions,
    writer: Mutex<Writer>,
    readers: SqlitePool,
    /// Dropped last: another process may open the file only when our connections are gone.
    _lock: File,
}

#[derive(Debug)]
struct Writer {
    /// `None` after an error: the next write connects anew.
    connection: Option<SqliteConnection>,
    ids: EventIds,
}

impl SqliteStore {
    /// Opens the store of an environment below `data_dir`, creating it when there is none. The file is checked before
    /// anything is written to it.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Foreign`], [`StoreError::Corrupt`] with what to do about it, or what the operating
    /// system refused.
    pub async fn open(data_dir: &Path, environment: &str) -> Result<Self, StoreError> {
        let opened = open::open(data_dir, environment).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: opened.path,
                options: opened.options,
                writer: Mutex::new(Writer {
                    connection: Some(opened.connection),
                    ids: EventIds::stored(opened.last_event),
                }),
                readers: opened.readers,
                _lock: opened.lock,
            }),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Ends all connections in good order, so that the file is whole without its write-ahead log. Later calls fail.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        if let Some(connection) = self.inner.writer.lock().await.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(path = %self.inner.path.display(), %error, "the store did not close in good order");
        }
    }
}

impl Inner {
    /// Runs a write on the writer's connection, and parts with the connection when it met an error that may have left it in an unknown state.
    async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection, &mut EventIds) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut connection = match writer.connection.take() {
            Some(connection) => connection,
            None if self.readers.is_closed() => {
                return Err(StoreError::Io(format!("The store {} is closed.", self.path.display())));
            }
            None => self.options.connect().await.map_err(|error| self.explain(error))?,
        };
        match work(&mut connection, &mut writer.ids).await {
            Ok(value) => {
                writer.connection = Some(connection);
                Ok(value)
            }
            Err(Failure::Refused(error)) => {
                writer.connection = Some(connection);
                Err(error)
            }
            Err(Failure::Engine(error)) => Err(self.explain(error)),
        }
    }

    fn explain(&self, error: sqlx::Error) -> StoreError {
        open::explain(&self.path, error)
    }
}

/// Why a piece of work on a connection ended.
#[derive(Debug)]
enum Failure {
    /// By our own rules; the transaction was rolled back and the connection is as good as before.
    Refused(StoreError),
    /// By the engine.
    Engine(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error)
    }
}

impl Store for SqliteStore {
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        async { read::load(&self.inner.readers).await.map_err(|error| self.inner.explain(error)) }.boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let inner = Arc::clone(&self.inner);
        // In a task of its own: a caller that goes away half-way (a client hung up) neither tears the commit nor costs the connection.
        let task = tokio::spawn(async move {
            inner.write(async |connection, ids| write::commit(connection, ids, commit).await).await
        });
        self.finish(task)
    }

    fn events(&self, query: EventQuery, page: Page) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        async move {
            let found = read::events(&self.inner.readers, &query, page).await;
            found.map_err(|error| self.inner.explain(error))
        }
        .boxed()
    }

    fn aggregate(
        &self,
        query: EventQuery,
        aggregation: Aggregation,
    ) -> BoxFuture<'_, Result<Option<f64>, StoreError>> {
        async move {
            let result = read::aggregate(&self.inner.readers, &query, aggregation).await;
            result.map_err(|error| self.inner.explain(error))
        }
        .boxed()
    }

    fn events_after<'a>(
        &'a self,
        id: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StoreError>> {
        async move {
            let found = read::events_after(&self.inner.readers, id, limit).await;
            found.map_err(|error| self.inner.explain(error))
        }
        .boxed()
    }

    fn prune(&self, keep: Retention, now: Timestamp) -> BoxFuture<'_, Result<Pruned, StoreError>> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::spawn(async move {
            inner.write(async |connection, _| write::prune(connection, keep, now).await).await
        });
        self.finish(task)
    }
}

impl SqliteStore {
    fn finish<T: Send + 'static>(
        &self,
        task: tokio::task::JoinHandle<Result<T, StoreError>>,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        async {
            task.await.unwrap_or_else(|error| {
                Err(StoreError::Io(format!("A write to {} did not end: {error}", self.inner.path.display())))
            })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
