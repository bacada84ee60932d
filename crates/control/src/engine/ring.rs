//! Events that are published but not stored: metrics and health, once a minute for every gateway and route. In a store they
//! would outnumber everything else; here they live for an hour.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use model::event::{Event, EventQuery, NewEvent, expand};
use store::{Aggregation, EventIds, EventPage, Page, Store, StoreError};

/// Longest life of an event here.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(1);
/// Most events here: 400 routes with two numbers a minute fill an hour. More routes see less of the past.
const MAX_EVENTS: usize = 50_000;

/// The newest transient events, oldest first.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Arc<Event>>,
    ids: EventIds,
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self { events: VecDeque::new(), ids: EventIds::transient() }
    }

    /// Takes events in and returns them with ids.
    pub(crate) fn publish(&mut self, new: Vec<NewEvent>, now: Timestamp) -> Vec<Arc<Event>> {
        let complete = |new: NewEvent, id| Event {
            id,
            version: new.version.unwrap_or_else(|| "1.0".into()),
            tags: expand(&new.tags),
            value: new.value,
            timestamp: new.timestamp,
            kind: new.kind,
            actor: new.actor,
            revision: None,
        };
        let events: Vec<_> = new.into_iter().map(|new| Arc::new(complete(new, self.ids.next(now)))).collect();
        self.events.extend(events.iter().cloned());
        let surplus = self.events.len().saturating_sub(MAX_EVENTS);
        let too_old = self.events.iter().take_while(|event| now.duration_since(event.timestamp) > MAX_AGE);
        let gone = too_old.count().max(surplus);
        self.events.drain(..gone);
        events
    }

    /// Those that match, newest first: by time, then by id, as a store orders them.
    pub(crate) fn matching(&self, query: &EventQuery) -> Vec<Arc<Event>> {
        let mut found: Vec<_> = self.events.iter().filter(|event| query.matches(event)).cloned().collect();
        found.sort_by(|a, b| (b.timestamp, &b.id).cmp(&(a.timestamp, &a.id)));
        found
    }

    /// Those after an id, oldest first.
    pub(crate) fn after(&self, id: &str, limit: usize) -> Vec<Arc<Event>> {
        let start = self.events.partition_point(|event| event.id.as_str() <= id);
        self.events.iter().skip(start).take(limit).cloned().collect()
    }

    /// Numeric values of those that match, and how many match at all.
    pub(crate) fn numbers(&self, query: &EventQuery) -> (Vec<f64>, usize) {
        let found = self.events.iter().filter(|event| query.matches(event));
        let mut count = 0;
        let numbers =
            found.inspect(|_| count += 1).filter_map(|event| event.value.as_ref()?.as_f64()).collect();
        (numbers, count)
    }
}

/// Joins what the store computed with the numbers of the ring. `stored_sum` is needed for averages only.
pub(crate) fn join(
    aggregation: Aggregation,
    stored: Option<f64>,
    stored_sum: Option<f64>,
    (numbers, count): (Vec<f64>, usize),
) -> Option<f64> {
    let ours = match aggregation {
        Aggregation::Count => return Some(stored.unwrap_or_default() + count as f64),
        Aggregation::Average | Aggregation::Sum => (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>()),
        Aggregation::Min => numbers.iter().copied().reduce(f64::min),
        Aggregation::Max => numbers.iter().copied().reduce(f64::max),
    };
    match (aggregation, stored, ours) {
        (Aggregation::Average, None, Some(sum)) => Some(sum / numbers.len() as f64),
        (Aggregation::Average, Some(average), Some(sum)) => {
            // The store tells sum and average, not how many numbers there are.
            let stored_sum = stored_sum.unwrap_or_default();
            let stored_count = if average == 0.0 { 0.0 } else { (stored_sum / average).round() };
            Some((stored_sum + sum) / (stored_count + numbers.len() as f64))
        }
        (_, stored, None) => stored,
        (_, None, ours) => ours,
        (Aggregation::Sum, Some(a), Some(b)) => Some(a + b),
        (Aggregation::Min, Some(a), Some(b)) => Some(a.min(b)),
        (Aggregation::Max, Some(a), Some(b)) => Some(a.max(b)),
        (Aggregation::Count, ..) => unreachable!("counts are answered above"),
    }
}

/// One page of the stored events merged with `ours`, which are sorted newest first.
pub(crate) async fn merged_page(
    store: &dyn Store,
    query: EventQuery,
    page: Page,
    ours: Vec<Arc<Event>>,
) -> Result<EventPage, StoreError> {
    let first = store.events(query.clone(), page).await?;
    if ours.is_empty() {
        return Ok(first);
    }
    let stored_total = usize::try_from(first.total).unwrap_or(usize::MAX);
    let total = first.total + ours.len() as u64;
    let (offset, limit) = (usize::try_from(page.offset()).unwrap_or(usize::MAX), page.limit() as usize);
    let key = |event: &Event| (event.timestamp, event.id.clone());

    // How many of ours are on the pages before this one? Binary search: `skip` of ours are before the page exactly when
    // the last of them is newer than the stored event that would take its place.
    let (mut low, mut high) = (offset.saturating_sub(stored_total).min(ours.len()), offset.min(ours.len()));
    while low < high {
        let skip = low + (high - low).div_ceil(2);
        let newer = match stored_at(store, &query, offset - skip).await? {
            Some(stored) => key(&ours[skip - 1]) > key(&stored),
            None => true,
        };
        if newer { low = skip } else { high = skip - 1 }
    }

    let mut theirs = stored_range(store, &query, offset - low, limit).await?.into_iter().peekable();
    let mut ours = ours.into_iter().skip(low).peekable();
    let mut events = Vec::new();
    while events.len() < limit {
        let take_ours = match (ours.peek(), theirs.peek()) {
            (Some(ours), Some(theirs)) => key(ours) > key(theirs),
            (ours, _) => ours.is_some(),
        };
        let next = if take_ours { ours.next().map(|event| Event::clone(&event)) } else { theirs.next() };
        match next {
            Some(event) => events.push(event),
            None => break,
        }
    }
    Ok(EventPage { events, total })
}

async fn stored_at(store: &dyn Store, query: &EventQuery, at: usize) -> Result<Option<Event>, StoreError> {
    Ok(stored_range(store, query, at, 1).await?.pop())
}

/// `limit` stored events from position `start`, which need not be the start of a page.
async fn stored_range(
    store: &dyn Store,
    query: &EventQuery,
    start: usize,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let (first, skip) = (start / limit, start % limit);
    let size = u32::try_from(limit).unwrap_or(Page::MAX_SIZE);
    let mut events = Vec::new();
    for number in first..=first + usize::from(skip > 0) {
        let Ok(number) = u32::try_from(number + 1) else { break };
        events.extend(store.events(query.clone(), Page::new(number, size)).await?.events);
    }
    Ok(events.into_iter().skip(skip).take(limit).collect())
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
