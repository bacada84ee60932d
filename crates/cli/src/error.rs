//! What can go wrong in a verb, and the exit code of each.

use serde_json::Value;

/// A verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line makes no sense. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The API refused the request. Exit code 1.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's message.
        message: String,
        /// The API's list of problems, as it came.
        problems: Vec<Value>,
    },
    /// Something went wrong here. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Nobody answers at the API's address. Exit code 3.
    #[error("cannot reach the Vamp API at {url}: {reason} (is `vamp serve` running? set --url or VAMP_URL)")]
    Unreachable {
        /// Address tried.
        url: String,
        /// Why.
        reason: String,
    },
    /// There is no way to the API in the cluster. Exit code 3.
    #[error("{0}")]
    NoWay(String),
    /// The reader of our output went away, for example `| head`: not an error. Exit code 0.
    #[error("output closed")]
    OutputClosed,
}

impl Error {
    /// The process exit code that belongs to the error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Refused { .. } | Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::NoWay(_) => 3,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Failed(error.to_string())
        }
    }
}
