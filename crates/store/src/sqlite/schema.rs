//! The tables, in numbered steps. The number of steps done is the file's `user_version`.

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

/// Marks a file as ours ("VAMP"), in the place where SQLite keeps such a mark.
pub(super) const APPLICATION_ID: u32 = u32::from_be_bytes(*b"VAMP");

/// Each step leads from the version of its index to the next. Steps that were ever released never change.
///
/// `event_tags` is an index of its own making: for one tag it lists events by time. A time window is a range of it, so a query
/// touches only entries of its rarest tag inside its window, already in the order of the answer.
const STEPS: [&str; 1] = ["
    create table environment (
        one integer primary key check (one = 1),
        revision integer not null,
        events integer not null,
        last_event integer not null
    ) strict;
    insert into environment values (1, 0, 0, 0);

    create table records (
        kind text not null,
        name text not null,
        version integer not null,
        body text not null,
        primary key (kind, name)
    ) strict, without rowid;

    create table events (
        id integer primary key,
        at integer not null,
        kind text not null,
        version text not null,
        actor text,
        revision integer,
        tags text not null,
        value text,
        number real
    ) strict;
    create index events_by_time on events (at);

    create table event_tags (
        tag text not null,
        at integer not null,
        event integer not null,
        primary key (tag, at, event)
    ) strict, without rowid;
"];

/// The version that this program writes.
pub(super) const CURRENT: usize = STEPS.len();

/// Takes a file from `version` to [`CURRENT`], all steps or none.
pub(super) async fn migrate(connection: &mut SqliteConnection, version: usize) -> Result<(), sqlx::Error> {
    let Some(steps) = STEPS.get(version..).filter(|steps| !steps.is_empty()) else { return Ok(()) };
    let mut transaction = connection.begin_with("begin immediate").await?;
    for step in steps {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    let mark = format!("pragma application_id = {APPLICATION_ID}; pragma user_version = {CURRENT};");
    sqlx::raw_sql(sqlx::AssertSqlSafe(mark)).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// The version of an open file.
pub(super) async fn version(connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
    let version: i64 = sqlx::query_scalar("pragma user_version").fetch_one(connection).await?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}
