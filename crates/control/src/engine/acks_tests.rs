use std::sync::Arc;

use super::*;

fn book(proxies: &[&str]) -> Acks {
    let acks = Acks::new();
    for proxy in proxies {
        acks.joined(proxy);
    }
    acks
}

fn counts(acks: &Acks, revision: u64) -> Option<(usize, usize)> {
    acks.receipt(revision).map(|receipt| (receipt.applied, receipt.total))
}

#[test]
fn an_acknowledgement_covers_all_earlier_revisions() {
    let acks = book(&["a", "b"]);
    for revision in [3, 4, 6] {
        acks.published(revision);
    }
    acks.acknowledge("a", 4, Vec::new());
    assert_eq!(counts(&acks, 3), Some((1, 2)));
    assert_eq!(counts(&acks, 4), Some((1, 2)));
    assert_eq!(counts(&acks, 6), Some((0, 2)));
    acks.acknowledge("b", 6, Vec::new());
    assert_eq!(counts(&acks, 3), Some((2, 2)));
    assert!(acks.receipt(3).unwrap().ms.is_some());
    assert!(acks.receipt(6).unwrap().ms.is_none());
    assert_eq!(acks.receipt(5), None, "never published");
}

#[test]
fn a_proxy_that_leaves_is_not_waited_for_and_a_late_answer_does_not_bring_it_back() {
    let acks = book(&["a", "b"]);
    acks.published(1);
    acks.acknowledge("a", 1, Vec::new());
    acks.left("b");
    acks.acknowledge("b", 1, Vec::new());
    assert_eq!(counts(&acks, 1), Some((1, 1)));
    assert_eq!(acks.statuses().len(), 1);
}

/// A proxy that is lost may go on with what it has, so it is shown; but nobody waits for it, until it is back and says what it serves.
#[tokio::test(start_paused = true)]
async fn a_lost_proxy_is_shown_and_not_waited_for() {
    let acks = book(&["a", "b"]);
    acks.published(1);
    acks.acknowledge("a", 1, Vec::new());
    acks.acknowledge("b", 1, Vec::new());
    acks.published(2);
    acks.lost("b");
    acks.acknowledge("b", 2, Vec::new());
    acks.acknowledge("a", 2, Vec::new());
    assert_eq!(counts(&acks, 2), Some((1, 1)));
    acks.published(3);
    assert_eq!(counts(&acks, 3), Some((0, 1)));
    let shown: Vec<_> =
        acks.statuses().into_iter().map(|proxy| (proxy.name, proxy.lost, proxy.revision)).collect();
    assert_eq!(shown, [("a".to_owned(), false, Some(2)), ("b".to_owned(), true, Some(1))]);

    acks.joined("b");
    acks.acknowledge("a", 3, Vec::new());
    let late = acks.applied(3, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(late.missing, ["b"]);
    acks.acknowledge("b", 3, Vec::new());
    assert_eq!(acks.applied(3, Duration::from_secs(1)).await.unwrap().applied, 2);
}

#[test]
fn a_proxy_that_joins_counts_for_the_newest_revision_only() {
    let acks = book(&["a"]);
    acks.published(1);
    acks.published(2);
    acks.joined("b");
    assert_eq!(counts(&acks, 1), Some((0, 1)));
    assert_eq!(counts(&acks, 2), Some((0, 2)));
}

#[test]
fn receipts_are_bounded() {
    let acks = book(&["a"]);
    for revision in 1..=1_100 {
        acks.published(revision);
    }
    assert_eq!(counts(&acks, 100), None);
    assert_eq!(counts(&acks, 101), Some((0, 1)));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_last_acknowledgement() {
    let acks = Arc::new(book(&["a", "b"]));
    acks.published(7);
    acks.acknowledge("a", 7, Vec::new());
    let waiting = tokio::spawn({
        let acks = acks.clone();
        async move { acks.applied(7, Duration::from_secs(5)).await }
    });
    tokio::time::advance(Duration::from_millis(40)).await;
    acks.acknowledge("b", 8, Vec::new());
    let receipt = waiting.await.unwrap().unwrap();
    assert_eq!((receipt.applied, receipt.total, receipt.ms), (2, 2, Some(40.0)));
}

#[tokio::test(start_paused = true)]
async fn waiting_names_the_proxies_that_did_not_answer() {
    let acks = book(&["a", "b"]);
    acks.published(7);
    acks.acknowledge("a", 7, Vec::new());
    acks.acknowledge("b", 6, Vec::new());
    let late = acks.applied(7, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(late.missing, ["b"]);
    assert_eq!((late.receipt.applied, late.receipt.total), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn without_proxies_there_is_nothing_to_wait_for() {
    let receipt = book(&[]).applied(3, Duration::from_secs(5)).await.unwrap();
    assert_eq!((receipt.applied, receipt.total, receipt.ms), (0, 0, None));
}

/// A control plane that takes over does not know at once who is there: until it does, it does not say that nobody is missing.
#[tokio::test(start_paused = true)]
async fn nothing_is_applied_while_not_all_proxies_are_known() {
    let acks = Arc::new(book(&[]));
    acks.known(false);
    acks.published(1);
    let late = acks.applied(1, Duration::from_millis(10)).await.unwrap_err();
    assert_eq!((late.unknown, late.names()), (true, "proxies that have yet to join".to_owned()));
    let waiting = tokio::spawn({
        let acks = Arc::clone(&acks);
        async move { acks.applied(1, Duration::from_secs(5)).await }
    });
    acks.published(2);
    acks.joined("a");
    acks.known(true);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "the one that has come has yet to say what it serves");
    acks.acknowledge("a", 2, Vec::new());
    let receipt = waiting.await.unwrap().unwrap();
    assert_eq!((receipt.revision, receipt.applied, receipt.total), (1, 1, 1));
    assert_eq!(acks.applied(2, Duration::ZERO).await.unwrap().total, 1);
}
