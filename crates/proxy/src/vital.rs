//! Notices when a part without which the proxy serves nobody ends by a panic. The panic of a task that serves one client is the end of
//! that client's connection; a worker, the task that accepts, or maintenance must not be missing unnoticed.

use std::sync::Arc;

use tokio::sync::watch;

/// What has failed; shared by all parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(Arc<watch::Sender<Option<&'static str>>>);

/// Kept by a part for as long as it works.
#[derive(Debug)]
pub(crate) struct Vital {
    failures: Failures,
    part: &'static str,
}

impl Failures {
    /// Watches over a part: its task or thread keeps the answer.
    pub(crate) fn watch(&self, part: &'static str) -> Vital {
        Vital { failures: self.clone(), part }
    }

    /// Ends when a part has failed, and names it.
    pub(crate) async fn first(&self) -> &'static str {
        let mut failed = self.0.subscribe();
        loop {
            if let Some(part) = *failed.borrow_and_update() {
                return part;
            }
            if failed.changed().await.is_err() {
                // Not while `self` holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failures.0.send_replace(Some(self.part));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_noticed_and_an_end_is_not() {
        let failures = Failures::default();
        let ends = failures.watch("what ends");
        tokio::spawn(async move { drop(ends) }).await.unwrap();
        let mut first = std::pin::pin!(failures.first());
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut first).await.is_err());
        let fails = failures.watch("what fails");
        let failed = tokio::spawn(async move {
            let _fails = fails;
            tokio::task::yield_now().await;
            panic!("as a part that fails does");
        });
        assert!(failed.await.unwrap_err().is_panic());
        assert_eq!(first.await, "what fails");
    }
}
