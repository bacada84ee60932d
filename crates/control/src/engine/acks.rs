//! Which proxy serves which revision, and how long that took.
//!
//! ```text
//! published(R) --> receipt of R: every proxy pending
//! acknowledge(proxy, N) --> every receipt up to N: that proxy served it after so many milliseconds
//! lost(proxy), left(proxy) --> pending entries go: nobody waits for the dead; a lost one stays in the statuses
//! known(false) --> nothing counts as applied until known(true): there are proxies that have yet to join
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::name::GatewayName;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::view::ProxyStatus;

/// Receipts that are kept: more than a client that polls for its own change ever needs.
const KEPT_RECEIPTS: usize = 1000;

/// How the proxies took a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The revision.
    pub revision: u64,
    /// Proxies by name with the milliseconds from publication to acknowledgement; `None` while they have not answered.
    pub proxies: Vec<(String, Option<f64>)>,
    /// How many answered.
    pub applied: usize,
    /// How many there are.
    pub total: usize,
    /// Milliseconds until the last one answered; `None` while one has not.
    pub ms: Option<f64>,
}

/// Some proxies did not answer in time. The change stays.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("revision {} is not confirmed by {}", .receipt.revision, names(.missing, *.unknown))]
pub struct NotApplied {
    /// How far it got.
    pub receipt: Receipt,
    /// The proxies that did not answer.
    pub missing: Vec<String>,
    /// There may be others that have yet to join.
    pub unknown: bool,
}

impl NotApplied {
    /// Who did not answer, for people.
    pub fn names(&self) -> String {
        names(&self.missing, self.unknown)
    }
}

fn names(missing: &[String], unknown: bool) -> String {
    const OTHERS: &str = "proxies that have yet to join";
    let names = missing.iter().map(String::as_str);
    names.chain(unknown.then_some(OTHERS)).collect::<Vec<_>>().join(", ")
}

/// The book of acknowledgements.
#[derive(Debug)]
pub(crate) struct Acks {
    book: Mutex<Book>,
    /// Changes with every change of the book.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Book {
    proxies: BTreeMap<String, Proxy>,
    /// There may be others that have yet to join.
    unknown: bool,
    /// Oldest first.
    receipts: VecDeque<Entry>,
}

#[derive(Debug, Default)]
struct Proxy {
    lost: bool,
    revision: Option<u64>,
    problems: Vec<(GatewayName, String)>,
}

#[derive(Debug)]
struct Entry {
    revision: u64,
    published: Instant,
    proxies: BTreeMap<String, Option<Duration>>,
}

impl Acks {
    pub(crate) fn new() -> Self {
        Self { book: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// A revision is on its way to the proxies.
    pub(crate) fn published(&self, revision: u64) {
        let mut book = self.book();
        if book.receipts.back().is_some_and(|last| last.revision >= revision) {
            return;
        }
        let proxies = book.live().map(|(name, _)| (name.clone(), None)).collect();
        book.receipts.push_back(Entry { revision, published: Instant::now(), proxies });
        if book.receipts.len() > KEPT_RECEIPTS {
            book.receipts.pop_front();
        }
    }

    pub(crate) fn known(&self, known: bool) {
        let mut book = self.book();
        book.unknown = !known;
        self.tell(book);
    }

    pub(crate) fn joined(&self, proxy: &str) {
        let mut book = self.book();
        // Whoever comes back may have started anew with an older table: it has to say what it serves.
        book.proxies.insert(proxy.to_owned(), Proxy::default());
        // It gets the newest configuration now, and so is part of that receipt and of all later ones.
        if let Some(newest) = book.receipts.back_mut() {
            newest.proxies.entry(proxy.to_owned()).or_default();
        }
        self.tell(book);
    }

    pub(crate) fn lost(&self, proxy: &str) {
        let mut book = self.book();
        if let Some(status) = book.proxies.get_mut(proxy) {
            status.lost = true;
        }
        book.wait_no_more(proxy);
        self.tell(book);
    }

    pub(crate) fn left(&self, proxy: &str) {
        let mut book = self.book();
        book.proxies.remove(proxy);
        book.wait_no_more(proxy);
        self.tell(book);
    }

    pub(crate) fn acknowledge(&self, proxy: &str, revision: u64, problems: Vec<(GatewayName, String)>) {
        let mut book = self.book();
        // A proxy that left, or is lost, is not counted again by a late answer.
        let Some(status) = book.proxies.get_mut(proxy).filter(|status| !status.lost) else { return };
        status.revision = status.revision.max(Some(revision));
        status.problems = problems;
        for receipt in book.receipts.iter_mut().rev().filter(|receipt| receipt.revision <= revision) {
            match receipt.proxies.get_mut(proxy) {
                Some(answer @ None) => *answer = Some(receipt.published.elapsed()),
                // All older ones are answered as well.
                Some(Some(_)) => break,
                None => {}
            }
        }
        self.tell(book);
    }

    pub(crate) fn statuses(&self) -> Vec<ProxyStatus> {
        let status = |(name, proxy): (&String, &Proxy)| ProxyStatus {
            name: name.clone(),
            lost: proxy.lost,
            revision: proxy.revision,
            problems: proxy.problems.clone(),
        };
        self.book().proxies.iter().map(status).collect()
    }

    pub(crate) fn receipt(&self, revision: u64) -> Option<Receipt> {
        self.book().receipt(revision)
    }

    /// Ends when every proxy serves `revision`, at the moment when the last one says so.
    pub(crate) async fn applied(&self, revision: u64, timeout: Duration) -> Result<Receipt, NotApplied> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !self.book().is_applied(revision) {
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
            }
        };
        let in_time = tokio::time::timeout(timeout, wait).await.is_ok();
        let book = self.book();
        let (missing, unknown) = (book.missing(revision), book.unknown);
        // Those who joined after the next revision are in no receipt of this one, and serve it all the same.
        let receipt = book.receipt(revision).filter(|receipt| receipt.total > 0);
        let receipt = receipt.unwrap_or_else(|| book.receipt_from_statuses(revision));
        if in_time || book.is_applied(revision) {
            Ok(receipt)
        } else {
            Err(NotApplied { receipt, missing, unknown })
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No change of the book panics half-way.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, book: MutexGuard<'_, Book>) {
        drop(book);
        self.changed.send_replace(());
    }
}

impl Book {
    fn live(&self) -> impl Iterator<Item = (&String, &Proxy)> {
        self.proxies.iter().filter(|(_, proxy)| !proxy.lost)
    }

    fn wait_no_more(&mut self, proxy: &str) {
        for receipt in &mut self.receipts {
            if receipt.proxies.get(proxy) == Some(&None) {
                receipt.proxies.remove(proxy);
            }
        }
    }

    fn is_applied(&self, revision: u64) -> bool {
        !self.unknown && self.missing(revision).is_empty()
    }

    fn missing(&self, revision: u64) -> Vec<String> {
        let late = self.live().filter(|(_, proxy)| proxy.revision < Some(revision));
        late.map(|(name, _)| name.clone()).collect()
    }

    fn receipt(&self, revision: u64) -> Option<Receipt> {
        let at = self.receipts.binary_search_by_key(&revision, |receipt| receipt.revision).ok()?;
        let millis = |answer: Option<Duration>| answer.map(|took| took.as_secs_f64() * 1000.0);
        let proxies = self.receipts[at].proxies.iter().map(|(name, answer)| (name.clone(), millis(*answer)));
        Some(Receipt::new(revision, proxies.collect()))
    }

    /// For a revision whose receipt is no longer kept: who serves it or a later one, without times.
    fn receipt_from_statuses(&self, revision: u64) -> Receipt {
        let proxies: Vec<_> = self.live().map(|(name, _)| (name.clone(), None)).collect();
        let applied = proxies.len() - self.missing(revision).len();
        Receipt { applied, ..Receipt::new(revision, proxies) }
    }
}

impl Receipt {
    fn new(revision: u64, proxies: Vec<(String, Option<f64>)>) -> Self {
        let (total, applied) = (proxies.len(), proxies.iter().filter(|(_, ms)| ms.is_some()).count());
        let slowest = proxies.iter().filter_map(|(_, ms)| *ms).reduce(f64::max);
        Self { revision, applied, total, ms: slowest.filter(|_| applied == total), proxies }
    }
}

#[cfg(test)]
#[path = "acks_tests.rs"]
mod tests;
