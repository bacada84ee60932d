//! The store in a cluster: records of the control plane as objects of kind `Record`, in the namespace of the environment.
//!
//! ```text
//!   commit ---> head        revision, journal of commits that are not folded yet     ONE write with a precondition: the commit
//!                 |
//!              folding, behind it: idempotent, a second's worth of commits at once
//!                 v
//!               gateways.shop, gateway-states.shop, ...    one object for each record
//!               events-0006...                             chunks of the event log
//!
//!   load  <--- head + objects + journal replayed            one list, which shows one moment
//! ```
//!
//! The write of the head either replaces the version that this store last saw or fails. So a commit is atomic over any number
//! of records, revisions are one total order whoever writes, and a controller that lost its place cannot write any more:
//! its next commit ends with a conflict, and it has to load again. Whoever is killed leaves at most objects that are behind
//! the journal, and the next one brings them up to date.
//!
//! - [`layout`]: names and forms of objects. [`head`]: the text of the head. [`chunks`]: which object holds which events.
//! - [`memory`]: all that is known; what a commit sends. [`fold`]: what folding sends. Both are plain data.
//! - [`requests`]: the API server, and what its failures mean. [`store`]: sends, waits and tries again.

mod chunks;
mod fold;
mod head;
mod layout;
mod limits;
mod memory;
mod requests;
mod store;

pub use self::store::{ClusterStore, Settings};
