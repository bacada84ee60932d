//! Ends the process when a part without which it is of no use has failed. Such a part cannot be mended from within, and nobody would
//! notice: the process would answer its probes for good. The system that started it starts it again, and an accepted change is kept.

use control::Control;
use proxy::Proxy;

/// The exit code: a mistake in the program (`EX_SOFTWARE` of sysexits.h).
const FAILED: i32 = 70;

/// Ends the process at once: what drains and stops in order may be what has failed.
fn end(part: &str) -> ! {
    tracing::error!(
        part,
        "a part of Vamp has failed, which is a mistake in Vamp; the process ends, to be started again"
    );
    std::process::exit(FAILED)
}

/// Runs a task that must not be missing: a panic of it is the end of the process.
pub(crate) async fn run(part: &'static str, task: impl Future<Output = ()>) {
    struct Vital(&'static str);
    impl Drop for Vital {
        fn drop(&mut self) {
            if std::thread::panicking() {
                end(self.0);
            }
        }
    }
    let _vital = Vital(part);
    task.await;
}

/// Watches over a proxy for as long as this process lives.
pub(crate) fn watch_proxy(proxy: &Proxy) {
    let proxy = proxy.clone();
    tokio::spawn(async move { end(proxy.failed().await) });
}

/// Watches over a control plane, until it ends as it should.
pub(crate) fn watch_control(control: &Control) {
    let control = control.clone();
    tokio::spawn(async move {
        if control.failed().await {
            end("the control plane");
        }
    });
}

#[cfg(test)]
mod tests {
    /// Set for the copy of this test program that fails.
    const FAILS: &str = "VAMP_TEST_FAILS";

    /// A process can be ended only once, so another one is.
    #[tokio::test]
    async fn a_panic_ends_the_process() {
        if std::env::var_os(FAILS).is_some() {
            super::run("what ends as it should", async {}).await;
            let failing = tokio::spawn(super::run("what fails", async {
                tokio::task::yield_now().await;
                panic!("as a part that fails does");
            }));
            failing.await.unwrap();
            unreachable!("the process has ended");
        }
        let output = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::vital::tests::a_panic_ends_the_process"])
            .env(FAILS, "1")
            .output();
        let output = tokio::time::timeout(std::time::Duration::from_secs(60), output).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(super::FAILED), "{output:?}");
    }
}
