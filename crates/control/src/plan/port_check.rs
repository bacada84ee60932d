//! What the machine says about ports, as a question that a plan may ask.

use std::fmt;
use std::sync::Arc;

/// Answers whether a port can be listened on. The default says yes to all.
#[derive(Clone)]
pub struct PortCheck(Arc<dyn Fn(u16) -> bool + Send + Sync>);

impl PortCheck {
    /// Asks `check`, which should be quick: it is called for one candidate after the other until one is free.
    pub fn new(check: impl Fn(u16) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    pub(super) fn allows(&self, port: u16) -> bool {
        (self.0)(port)
    }
}

impl Default for PortCheck {
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl fmt::Debug for PortCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortCheck")
    }
}
