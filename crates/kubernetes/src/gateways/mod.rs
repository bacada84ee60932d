//! Gateways as custom resources: `gateways.vamp.io` as one more door to the control plane.
//!
//! ```text
//!  API server --list, watch--> Door::resources --+
//!                                                 |   plan (pure): who was edited, what is to be done
//!  control: gateways, mirrors --------------------+        |
//!                                                          +--> Declare, Remove, Remember --> control
//!  API server <------- Door: create, update, delete -------+
//!             <------- Door: status, Events <-- status (pure), notes (pure) <-- what is live
//! ```
//!
//! What connects the two sides is in the program; here is everything that knows the cluster, and every decision.

mod door;
mod notes;
mod object;
mod plan;
mod refused;
mod status;

#[cfg(test)]
mod plan_tests;

pub use door::{Door, WriteError};
pub use notes::{Note, Notes, Severity, Telling};
pub use object::{Resource, Resources};
pub use plan::{Claim, Declared, Known, Plan, Step, object_name, plan};
pub use refused::{Refusals, Refused};
pub use status::{Address, Live, Proxy, Route, is_urgent, patch as status_patch, status};
