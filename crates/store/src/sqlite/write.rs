//! Writing: each function is one transaction.

use jiff::Timestamp;
use model::event::Event;
use serde_json::Value;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, SqliteTransaction};

use super::Failure;
use crate::event::{self, PRUNE_BATCH};
use crate::id::{self, EventIds};
use crate::{Commit, Committed, Delete, Expect, Pruned, Put, Retention, Revision, StoreError};

/// Applies a commit. The caller's connection is usable afterwards unless the engine itself failed.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    ids: &mut EventIds,
    commit: Commit,
) -> Result<Committed, Failure> {
    let changes = commit.changes_records();
    let now = Timestamp::now();
    let numbers: Vec<u64> = commit.events.iter().map(|_| ids.next_number(now)).collect();
    let mut transaction = connection.begin_with("begin immediate").await?;
    let revision: i64 = if commit.is_empty() {
        sqlx::query_scalar("select revision from environment").fetch_one(&mut *transaction).await?
    } else {
        sqlx::query_scalar(
            "update environment set revision = revision + ?1, events = events + ?2, last_event = max(last_event, ?3) \
             returning revision",
        )
        .bind(i64::from(changes))
        .bind(numbers.len() as i64)
        .bind(numbers.last().map_or(0, |number| number.cast_signed()))
        .fetch_one(&mut *transaction)
        .await?
    };
    let version = revision.cast_unsigned();
    for each in commit.puts {
        if !put(&mut transaction, &each, version).await? {
            return refuse(transaction, each.kind, each.name).await;
        }
    }
    for each in commit.deletes {
        if !delete(&mut transaction, &each).await? {
            return refuse(transaction, each.kind, each.name).await;
        }
    }
    let mut events = Vec::with_capacity(numbers.len());
    for (new, number) in commit.events.into_iter().zip(numbers) {
        let event = event::stored(new, id::format(number), changes.then_some(version));
        append(&mut transaction, &event, number.cast_signed()).await?;
        events.push(event);
    }
    transaction.commit().await?;
    Ok(Committed { revision: version, events })
}

async fn refuse<T>(transaction: SqliteTransaction<'_>, kind: String, name: String) -> Result<T, Failure> {
    transaction.rollback().await?;
    Err(Failure::Refused(StoreError::Conflict { kind, name }))
}

/// False when the record was not as expected.
async fn put(
    transaction: &mut SqliteTransaction<'_>,
    put: &Put,
    version: Revision,
) -> Result<bool, sqlx::Error> {
    let statement = match put.expect {
        Expect::Any => {
            "insert into records (kind, name, version, body) values (?1, ?2, ?3, ?4) \
             on conflict (kind, name) do update set version = excluded.version, body = excluded.body"
        }
        Expect::Absent => {
            "insert into records (kind, name, version, body) values (?1, ?2, ?3, ?4) on conflict (kind, name) do nothing"
        }
        Expect::Version(_) => {
            "update records set version = ?3, body = ?4 where kind = ?1 and name = ?2 and version = ?5"
        }
    };
    let mut query = sqlx::query(statement)
        .bind(&put.kind)
        .bind(&put.name)
        .bind(version.cast_signed())
        .bind(put.body.to_string());
    if let Expect::Version(expected) = put.expect {
        query = query.bind(expected.cast_signed());
    }
    Ok(query.execute(&mut **transaction).await?.rows_affected() == 1)
}

/// False when the record was not as expected.
async fn delete(transaction: &mut SqliteTransaction<'_>, delete: &Delete) -> Result<bool, sqlx::Error> {
    let current: Option<i64> =
        sqlx::query_scalar("select version from records where kind = ?1 and name = ?2")
            .bind(&delete.kind)
            .bind(&delete.name)
            .fetch_optional(&mut **transaction)
            .await?;
    if !delete.expect.met_by(current.map(i64::cast_unsigned)) {
        return Ok(false);
    }
    sqlx::query("delete from records where kind = ?1 and name = ?2")
        .bind(&delete.kind)
        .bind(&delete.name)
        .execute(&mut **transaction)
        .await?;
    Ok(true)
}

async fn append(
    transaction: &mut SqliteTransaction<'_>,
    event: &Event,
    number: i64,
) -> Result<(), sqlx::Error> {
    let tags = Value::from_iter(event.tags.iter().map(String::as_str)).to_string();
    let at = event::micros_floor(event.timestamp);
    sqlx::query(
        "insert into events (id, at, kind, version, actor, revision, tags, value, number) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .bind(number)
    .bind(at)
    .bind(&event.kind)
    .bind(&event.version)
    .bind(&event.actor)
    .bind(event.revision.map(u64::cast_signed))
    .bind(&tags)
    .bind(event.value.as_ref().map(Value::to_string))
    .bind(event::numeric(event.value.as_ref()))
    .execute(&mut **transaction)
    .await?;
    sqlx::query("insert into event_tags (tag, at, event) select value, ?2, ?3 from json_each(?1)")
        .bind(&tags)
        .bind(at)
        .bind(number)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Removes the oldest events that exceed `keep`, at most [`PRUNE_BATCH`], and gives freed pages back to the file system.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    keep: Retention,
    now: Timestamp,
) -> Result<Pruned, Failure> {
    let horizon = event::micros_ceil(keep.horizon(now));
    let mut transaction = connection.begin_with("begin immediate").await?;
    let total: i64 =
        sqlx::query_scalar("select events from environment").fetch_one(&mut *transaction).await?;
    let oldest: Vec<(i64, i64)> = sqlx::query_as("select id, at from events order by at, id limit ?1")
        .bind(PRUNE_BATCH.cast_signed() + 1)
        .fetch_all(&mut *transaction)
        .await?;
    let too_old = oldest.partition_point(|(_, at)| *at < horizon) as u64;
    let excess = total.cast_unsigned().saturating_sub(keep.max_events).max(too_old);
    let gone = excess.min(PRUNE_BATCH).min(oldest.len() as u64);
    if gone == 0 {
        transaction.rollback().await?;
        return Ok(Pruned::default());
    }
    let ids = Value::from_iter(oldest.iter().take(gone as usize).map(|(id, _)| *id)).to_string();
    sqlx::query(
        "delete from event_tags where (tag, at, event) in (\
             select tag.value, e.at, e.id from json_each(?1) as gone \
             join events as e on e.id = gone.value, json_each(e.tags) as tag)",
    )
    .bind(&ids)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("delete from events where id in (select value from json_each(?1))")
        .bind(&ids)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("update environment set events = events - ?1")
        .bind(gone.cast_signed())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    // Bounded as well; a file that shrinks a little with each call is small in the end.
    sqlx::raw_sql("pragma incremental_vacuum(64)").execute(connection).await?;
    Ok(Pruned { events: gone, more: excess > gone })
}
