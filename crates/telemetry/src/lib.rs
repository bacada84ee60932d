//! Exact counters and latency histograms for each gateway, route and instance, and what is derived from them.
//!
//! ```text
//!  worker 0 --record--> shard 0 --+                       +--> totals(), prometheus()      since the start, exact
//!  worker 1 --record--> shard 1 --+--> merged on reading -+
//!  ...                            |    (a Series)         +--tick, once a second--> rings --> window()   the last 1 s .. 15 min
//!                                                                                              |
//!                                              rate, mean, percentiles, health, metric events <+
//! ```
//!
//! What processes elsewhere count travels as differences: a [`Reader`] there takes them, [`Telemetry::absorb`] here adds them to the same
//! series, and everything below works as if the requests had been here.
//!
//! Recording never blocks, and allocates only when a worker meets a series, or a range of latencies, for the first time: a
//! series that never saw a request is about a hundred bytes. Nothing on the recording side is shared between workers.
//!
//! Every request counts once for its gateway, once for the route chosen and once for the instance. A request without a route is
//! recorded for its gateway only, as [`Reason::NoTarget`](routing::decide::Reason::NoTarget), so
//! `gateway = routes + refused` always.

mod outcome;
mod registry;
mod series;

mod counters;
mod histogram;
mod phases;

mod delta;
mod remote;

mod ring;
mod window;

pub mod figures;

pub mod names;
mod page;
mod process;

pub use crate::counters::Totals;
pub use crate::delta::{Delta, Open, Reader};
pub use crate::histogram::Histogram;
pub use crate::outcome::{Outcome, error_word, status_class};
pub use crate::page::{CONTENT_TYPE, GatewayGauge, Gauges, LIMITS, TargetGauge, page};
pub use crate::phases::{Phase, PhaseGrowth, PhaseTimes};
pub use crate::registry::{Key, SeriesTotals, Telemetry, step};
pub use crate::remote::Remote;
pub use crate::series::Series;
pub use crate::window::Window;
