//! Changes that users and automation ask for, and the answers.

use std::collections::BTreeSet;
use std::fmt;

use model::artifact::{Artifact, ArtifactKind};
use model::event::{Event, NewEvent};
use model::gateway::{GatewayDocument, GatewayView, Mirror};
use model::name::GatewayName;
use model::problem::{Problem, Problems};

use crate::state::PlatformService;

/// A change with who asks for it and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is to change.
    pub change: Change,
    /// Who asks: a user, `vamp`, or the name of a client.
    pub actor: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The text of the request, for the archive event.
    pub body: Option<String>,
    /// Validate and compute only: nothing is kept, nobody is told.
    pub dry_run: bool,
    /// Version that the artifact must still have. For single changes.
    pub if_match: Option<u64>,
}

impl Request {
    /// A change by `actor`, without reason, body or conditions.
    pub fn new(change: Change, actor: impl Into<String>) -> Self {
        Self { change, actor: actor.into(), reason: None, body: None, dry_run: false, if_match: None }
    }
}

/// What can be changed.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "short-lived values, one for each request")]
pub enum Change {
    /// Writes a gateway: the whole document takes the place of the old one.
    Gateway {
        /// The document.
        document: GatewayDocument,
        /// Whether it may exist.
        mode: Mode,
    },
    /// Deletes a gateway; fine when there is none.
    DeleteGateway(GatewayName),
    /// Makes every sticky client of a gateway choose anew (R31).
    Evict {
        /// The gateway.
        gateway: GatewayName,
    },
    /// The platform has, moved or removed the service of a gateway. Fine when the gateway is gone; no change when it is
    /// known already.
    Service {
        /// The gateway.
        gateway: GatewayName,
        /// What there is.
        service: PlatformService,
    },
    /// The owner of a gateway's document changed it where it is mirrored. What is different from the document of before is applied;
    /// everything else stays as it is, weights above all.
    Declare {
        /// The document as it is there now.
        document: GatewayDocument,
        /// Identity of the object that holds it.
        uid: String,
        /// Number of this document.
        generation: i64,
        /// Fields of it that Vamp itself wrote there last: they are no edit.
        own: BTreeSet<String>,
    },
    /// What is to be remembered of the object that mirrors a gateway; `None` once it is gone.
    Mirror {
        /// The gateway, which may be gone.
        gateway: GatewayName,
        /// What is known.
        mirror: Option<Mirror>,
    },
    /// Writes a passive artifact.
    Artifact {
        /// The artifact.
        artifact: Artifact,
        /// Whether it may exist.
        mode: Mode,
    },
    /// Deletes a passive artifact; fine when there is none.
    DeleteArtifact {
        /// Kind.
        kind: ArtifactKind,
        /// Name.
        name: String,
    },
    /// Several changes, validated as a whole and made in one commit. Their order does not matter to references, ports and
    /// chains among them (A12). No [`Change::Many`] or [`Change::Events`] inside.
    Many(Vec<Part>),
    /// Publishes events.
    Events(Vec<NewEvent>),
}

/// One of several changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What is to change.
    pub change: Change,
    /// The text of this document, for its archive event.
    pub body: Option<String>,
}

impl From<Change> for Part {
    fn from(change: Change) -> Self {
        Self { change, body: None }
    }
}

/// Whether a written artifact may already exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It must not (R45, A16). The archive says `create`.
    Create,
    /// It may. The archive says `update`.
    Put,
}

/// A change that was made; with `dry_run` one that would have been.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// Revision of the environment with the change in it.
    pub revision: u64,
    /// One for each change, in the order asked.
    pub results: Vec<Outcome>,
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "short-lived values, one for each request")]
pub enum Outcome {
    /// The gateway as it is now, and its version.
    Gateway(GatewayView, u64),
    /// The artifact as it is now, and its version.
    Artifact(Artifact, u64),
    /// True when there was something to delete.
    Deleted(bool),
    /// The events as stored.
    Events(Vec<Event>),
}

/// A change that was not made. Nothing of it remains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Class: what the caller may do about it.
    pub kind: RefusalKind,
    /// Stable code of the first problem.
    pub code: String,
    /// Everything that is wrong.
    pub problems: Problems,
}

impl Refusal {
    /// A refusal for one reason.
    pub fn new(kind: RefusalKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), problems: Problem::new(code, "", message).into() }
    }

    /// The message of all problems together.
    pub fn message(&self) -> String {
        self.problems.message()
    }
}

impl From<Problems> for Refusal {
    /// The document is wrong.
    fn from(problems: Problems) -> Self {
        let code = problems.0.first().map_or("invalid", |problem| problem.code).to_owned();
        Self { kind: RefusalKind::Invalid, code, problems }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Refusal {}

/// Class of a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The change itself is wrong.
    Invalid,
    /// What it is about does not exist.
    NotFound,
    /// It must not exist and does.
    Exists,
    /// It was changed meanwhile: `if_match` does not hold.
    Conflict,
    /// There is no port left.
    Exhausted,
    /// It cannot be kept now; trying again later may help.
    Unavailable,
    /// A mistake in Vamp.
    Internal,
}
