//! Whether an agent is still who it was when its stream began: tokens expire, are revoked, and are renewed.
//!
//! ```text
//! every so often, and for each new token:  token --Authenticate--> as before: goes on
//!                                                                  cannot be told: goes on
//!                                                                  anything else: the stream ends
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, admit};
use crate::identity::{Authenticate, Denied};
use crate::proto::Hello;

/// Longer ones are no tokens.
const LONGEST: usize = 16 * 1024;

/// Looks at the token of one stream; ends with it.
pub(super) struct Trust {
    token: watch::Sender<String>,
    gone: CancellationToken,
    looking: JoinHandle<()>,
}

impl Trust {
    pub(super) fn begin(
        authenticate: Arc<dyn Authenticate>,
        token: String,
        hello: Hello,
        period: Duration,
    ) -> Self {
        let (token, given) = watch::channel(token);
        let gone = CancellationToken::new();
        let looking = tokio::spawn(look(authenticate, given, hello, period, gone.clone()));
        Self { token, gone, looking }
    }

    /// The agent shows another token.
    pub(super) fn renew(&self, token: String) {
        if token.len() <= LONGEST {
            self.token.send_replace(token);
        }
    }

    /// Ends when the token proves nothing any more.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn look(
    authenticate: Arc<dyn Authenticate>,
    mut given: watch::Receiver<String>,
    hello: Hello,
    period: Duration,
    gone: CancellationToken,
) {
    loop {
        tokio::select! {
            () = sleep(period) => {}
            changed = given.changed() => if changed.is_err() {
                return;
            }
        }
        let token = given.borrow_and_update().clone();
        match timeout(PATIENCE, authenticate.authenticate(&token)).await {
            // An API server that is away sends nobody away.
            Err(_) | Ok(Err(Denied::Unavailable(_))) => {}
            Ok(Ok(identity)) if admit(&identity, &hello).is_ok() => {}
            Ok(Ok(_) | Err(Denied::Unknown(_) | Denied::NotAllowed(_))) => {
                gone.cancel();
                return;
            }
        }
    }
}
