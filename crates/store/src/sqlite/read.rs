//! Reading, beside the writer: each function sees one consistent state.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::event::{Event, EventQuery};
use serde_json::Value;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row, SqliteTransaction};

use crate::event::micros_range;
use crate::id;
use crate::{Aggregation, EventPage, Loaded, Page, Record};

pub(super) async fn load(readers: &SqlitePool) -> Result<Loaded, sqlx::Error> {
    let mut transaction = readers.begin().await?;
    let revision: i64 =
        sqlx::query_scalar("select revision from environment").fetch_one(&mut *transaction).await?;
    let rows = sqlx::query("select kind, name, version, body from records order by kind, name")
        .fetch_all(&mut *transaction)
        .await?;
    let records = rows.iter().map(|row| {
        Ok(Record {
            kind: row.try_get(0)?,
            name: row.try_get(1)?,
            version: row.try_get::<i64, _>(2)?.cast_unsigned(),
            body: json(row.try_get(3)?)?,
        })
    });
    Ok(Loaded { revision: revision.cast_unsigned(), records: records.collect::<Result<_, sqlx::Error>>()? })
}

/// A query, ready for SQL: which index to walk, over which range, and what to check at each entry.
struct Plan {
    /// The tag whose entries are walked; without tags the walk is over time alone.
    leading: Option<String>,
    /// The other tags, as a JSON list.
    others: Option<String>,
    from: i64,
    until: i64,
    kind: Option<String>,
}

impl Plan {
    async fn new(transaction: &mut SqliteTransaction<'_>, query: &EventQuery) -> Result<Self, sqlx::Error> {
        let (from, until) = micros_range(query);
        let leading = rarest(transaction, &query.tags, from, until).await?;
        let others: Vec<&str> =
            query.tags.iter().map(String::as_str).filter(|tag| Some(*tag) != leading.as_deref()).collect();
        Ok(Self {
            others: (!others.is_empty()).then(|| Value::from_iter(others).to_string()),
            leading,
            from,
            until,
            kind: query.kind.clone(),
        })
    }

    /// The text after `select ...`. Always the same parameters: ?1 tag, ?2 and ?3 time, ?4 type, ?5 other tags.
    /// `rows`: true when columns of `events` are wanted. `cross join` fixes the order of the walk.
    fn source(&self, rows: bool) -> String {
        let rows = rows || self.kind.is_some();
        let mut sql = match (&self.leading, rows) {
            (Some(_), true) => {
                " from event_tags as t cross join events as e on e.id = t.event where t.tag = ?1 and t.at between ?2 and ?3"
            }
            (Some(_), false) => " from event_tags as t where t.tag = ?1 and t.at between ?2 and ?3",
            (None, _) => " from events as e where ?1 is null and e.at between ?2 and ?3",
        }
        .to_owned();
        if self.kind.is_some() {
            sql.push_str(" and e.kind = ?4");
        }
        if self.others.is_some() {
            sql.push_str(
                " and not exists (select 1 from json_each(?5) as wanted where not exists (select 1 from event_tags as o \
                 where o.tag = wanted.value and o.at = t.at and o.event = t.event))",
            );
        }
        sql
    }

    fn bind<'q>(
        &'q self,
        sql: String,
    ) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
        sqlx::query(AssertSqlSafe(sql))
            .bind(self.leading.as_deref())
            .bind(self.from)
            .bind(self.until)
            .bind(self.kind.as_deref())
            .bind(self.others.as_deref())
    }

    /// True when every event matches.
    fn is_everything(&self) -> bool {
        self.leading.is_none() && self.kind.is_none() && self.from == i64::MIN && self.until == i64::MAX
    }
}

/// The tag with the fewest events in the range, as far as a short look tells; tags of one item before tags of a group.
async fn rarest(
    transaction: &mut SqliteTransaction<'_>,
    tags: &BTreeSet<String>,
    from: i64,
    until: i64,
) -> Result<Option<String>, sqlx::Error> {
    const LOOK: i64 = 500;
    const CANDIDATES: usize = 8;
    let mut candidates: Vec<&String> = tags.iter().collect();
    candidates.sort_by_key(|tag| !tag.contains(':'));
    if candidates.len() < 2 {
        return Ok(candidates.first().map(|tag| (*tag).clone()));
    }
    let mut best: Option<(i64, &String)> = None;
    for tag in candidates.into_iter().take(CANDIDATES) {
        let limit = best.map_or(LOOK, |(count, _)| count);
        let count: i64 = sqlx::query_scalar(
            "select count(*) from (select 1 from event_tags where tag = ?1 and at between ?2 and ?3 limit ?4)",
        )
        .bind(tag)
        .bind(from)
        .bind(until)
        .bind(limit)
        .fetch_one(&mut **transaction)
        .await?;
        if best.is_none_or(|(least, _)| count < least) {
            best = Some((count, tag));
        }
    }
    Ok(best.map(|(_, tag)| tag.clone()))
}

const COLUMNS: &str = "e.id, e.at, e.kind, e.version, e.actor, e.revision, e.tags, e.value";

pub(super) async fn events(
    readers: &SqlitePool,
    query: &EventQuery,
    page: Page,
) -> Result<EventPage, sqlx::Error> {
    let mut transaction = readers.begin().await?;
    let plan = Plan::new(&mut transaction, query).await?;
    let total: i64 = if plan.is_everything() {
        sqlx::query_scalar("select events from environment").fetch_one(&mut *transaction).await?
    } else {
        let sql = format!("select count(*){}", plan.source(false));
        plan.bind(sql).fetch_one(&mut *transaction).await?.try_get(0)?
    };
    let offset = i64::try_from(page.offset()).unwrap_or(i64::MAX);
    if offset >= total {
        return Ok(EventPage { events: Vec::new(), total: total.cast_unsigned() });
    }
    let order = if plan.leading.is_some() { "t.at desc, t.event desc" } else { "e.at desc, e.id desc" };
    let sql = format!("select {COLUMNS}{} order by {order} limit ?6 offset ?7", plan.source(true));
    let rows = plan.bind(sql).bind(i64::from(page.limit())).bind(offset).fetch_all(&mut *transaction).await?;
    Ok(EventPage { events: decode(&rows)?, total: total.cast_unsigned() })
}

pub(super) async fn aggregate(
    readers: &SqlitePool,
    query: &EventQuery,
    aggregation: Aggregation,
) -> Result<Option<f64>, sqlx::Error> {
    let mut transaction = readers.begin().await?;
    let plan = Plan::new(&mut transaction, query).await?;
    let (function, rows) = match aggregation {
        Aggregation::Count => ("cast(count(*) as real)", false),
        Aggregation::Average => ("avg(e.number)", true),
        Aggregation::Min => ("min(e.number)", true),
        Aggregation::Max => ("max(e.number)", true),
        Aggregation::Sum => ("sum(e.number)", true),
    };
    let sql = format!("select {function}{}", plan.source(rows));
    plan.bind(sql).fetch_one(&mut *transaction).await?.try_get(0)
}

pub(super) async fn events_after(
    readers: &SqlitePool,
    id: &str,
    limit: usize,
) -> Result<Vec<Event>, sqlx::Error> {
    let Some(number) = id::parse(id) else { return Ok(Vec::new()) };
    let sql = format!("select {COLUMNS} from events as e where e.id > ?1 order by e.id limit ?2");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(number.cast_signed())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(readers)
        .await?;
    decode(&rows)
}

fn decode(rows: &[SqliteRow]) -> Result<Vec<Event>, sqlx::Error> {
    let event = |row: &SqliteRow| {
        let tags: &str = row.try_get(6)?;
        Ok(Event {
            id: id::format(row.try_get::<i64, _>(0)?.cast_unsigned()),
            timestamp: Timestamp::from_microsecond(row.try_get(1)?).map_err(undecodable)?,
            kind: row.try_get(2)?,
            version: row.try_get(3)?,
            actor: row.try_get(4)?,
            revision: row.try_get::<Option<i64>, _>(5)?.map(i64::cast_unsigned),
            tags: serde_json::from_str(tags).map_err(undecodable)?,
            value: row.try_get::<Option<&str>, _>(7)?.map(json).transpose()?,
        })
    };
    rows.iter().map(event).collect()
}

fn json(text: &str) -> Result<Value, sqlx::Error> {
    serde_json::from_str(text).map_err(undecodable)
}

fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
