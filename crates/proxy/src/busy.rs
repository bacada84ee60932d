//! What is under way, counted for as long as a guard lives: a task that is dropped in the middle of anything gives its count
//! back as one that ends.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use routing::decide::Chosen;

use crate::table::Served;
use crate::worker::Worker;

/// Counts one request, or tcp connection, as under way at a target.
pub(crate) struct Busy {
    worker: usize,
    served: Arc<Served>,
    chosen: Chosen,
}

impl Busy {
    pub(crate) fn new(worker: &Rc<Worker>, served: &Arc<Served>, chosen: Chosen) -> Self {
        let busy = Self { worker: worker.index, served: Arc::clone(served), chosen };
        busy.served.compiled(chosen).state.in_flight.fetch_add(1, Relaxed);
        busy.served.meter.begin(busy.worker);
        busy.served.routes[chosen.route].meter.begin(busy.worker);
        busy.served.target(chosen).meter.begin(busy.worker);
        busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.served.compiled(self.chosen).state.in_flight.fetch_sub(1, Relaxed);
        self.served.meter.end(self.worker);
        self.served.routes[self.chosen.route].meter.end(self.worker);
        self.served.target(self.chosen).meter.end(self.worker);
    }
}
