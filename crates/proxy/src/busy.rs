//! What is under way, counted for as long as a guard lives: a task that is dropped in the middle of anything gives its count
//! back as one that ends. Counting is where the limits of a target are ([`crate::slots`]).

use std::rc::Rc;
use std::sync::Arc;

use routing::decide::Chosen;

use crate::slots::Full;
use crate::table::Served;
use crate::worker::Worker;

/// Counts one request, or tcp connection, as under way at a target.
pub(crate) struct Busy {
    worker: usize,
    served: Arc<Served>,
    chosen: Chosen,
}

impl Busy {
    /// `None` when the target has as many as it may, or others wait for it.
    pub(crate) fn try_new(worker: &Rc<Worker>, served: &Arc<Served>, chosen: Chosen) -> Option<Self> {
        let used = &served.compiled(chosen).state.in_flight;
        served.target(chosen).health.slots.try_take(used).then(|| Self::count(worker, served, chosen))
    }

    /// Waits until the target has room. The caller bounds the time.
    pub(crate) async fn wait(
        worker: &Rc<Worker>,
        served: &Arc<Served>,
        chosen: Chosen,
    ) -> Result<Self, Full> {
        let used = &served.compiled(chosen).state.in_flight;
        let slots = &served.target(chosen).health.slots;
        slots.wait(used).await?;
        Ok(Self::count(worker, served, chosen))
    }

    /// Where it counts.
    pub(crate) fn chosen(&self) -> Chosen {
        self.chosen
    }

    fn count(worker: &Rc<Worker>, served: &Arc<Served>, chosen: Chosen) -> Self {
        let busy = Self { worker: worker.index, served: Arc::clone(served), chosen };
        busy.served.meter.begin(busy.worker);
        busy.served.routes[chosen.route].meter.begin(busy.worker);
        busy.served.target(chosen).meter.begin(busy.worker);
        busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let used = &self.served.compiled(self.chosen).state.in_flight;
        self.served.target(self.chosen).health.slots.give_back(used);
        self.served.meter.end(self.worker);
        self.served.routes[self.chosen.route].meter.end(self.worker);
        self.served.target(self.chosen).meter.end(self.worker);
    }
}
