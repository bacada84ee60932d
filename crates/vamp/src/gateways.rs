//! Between control and the custom resources of a cluster: carries out what the plan of the door says, shows what is live.
//!
//! ```text
//! resources, view --plan--> control steps, one after the other --> again, until there are none
//!                      \--> cluster steps, some at once; after a failure with growing pauses
//! view --live, status--> patches: urgent ones first, the rest at most once a second for each object
//! events --lines, notes--> Kubernetes Events
//! ```
//!
//! Level-triggered: everything comes from what is there, so it does not matter what was missed or when this began.

mod live;
mod telling;

#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use control::{Change, Control, Part, RefusalKind, Request, View};
use futures_util::StreamExt as _;
use kubernetes::Platform;
use kubernetes::gateways::{
    Claim, Declared, Door, Known, Live, Note, Notes, Plan, Refusals, Refused, Resource, Severity, Step,
    WriteError, plan, status, status_patch,
};
use model::event::Event;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use self::live::live;
use self::telling::{Line, lines};

/// Who deletes an object does not say who they are.
const KUBECTL: &str = "kubectl";
/// The Service that all virtual hosts share.
const SHARED: &str = "vamp-gateway-agent";
/// What is remembered in one commit.
const AT_ONCE: usize = 64;
/// Writes under way at once.
const PARALLEL: usize = 8;
/// Everything is looked at again this often: instances that are not ready, and addresses, change without a sign.
const LOOK: Duration = Duration::from_secs(1);
/// After a lost race, should the watch have nothing to tell.
const LATE: Duration = Duration::from_millis(500);
/// What was written is not written again before its echo, unless that takes longer.
const ECHO: Duration = Duration::from_secs(5);
/// First pause after a failure, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Pause of one object's status between changes that are not urgent.
const CALM: Duration = Duration::from_secs(1);
/// Status writes in one round, and the pause after a full one: fifty a second.
const STATUSES: usize = 25;
const STATUS_PAUSE: Duration = Duration::from_millis(500);
/// Lines that wait to be told; more are dropped.
const LINES: usize = 1024;
/// Events that come within this time are told together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Runs until control or the platform ends.
pub(crate) async fn keep(platform: Platform, control: Control) {
    let door = Arc::new(platform.gateways());
    let (notes, told) = mpsc::channel(LINES);
    let teller = tokio::spawn(tell(door.clone(), told));
    let listener = tokio::spawn(listen(control.clone(), door.clone(), notes.clone()));
    let start = Instant::now();
    let keeper = Keeper {
        platform,
        control,
        door,
        notes,
        start,
        refusals: Refusals::default(),
        written: HashMap::new(),
        shown: HashMap::new(),
        settled: HashMap::new(),
        failures: 0,
        write_at: start,
        control_at: start,
        problem: None,
    };
    keeper.run().await;
    teller.abort();
    listener.abort();
}

struct Keeper {
    platform: Platform,
    control: Control,
    door: Arc<Door>,
    notes: mpsc::Sender<Note>,
    start: Instant,
    refusals: Refusals,
    /// The last step for each object that was carried out, until its echo comes.
    written: HashMap<String, (Step, Instant)>,
    shown: HashMap<String, Shown>,
    /// What the statuses say that are as they should be; these are not made again.
    settled: HashMap<String, Settled>,
    failures: u32,
    write_at: Instant,
    control_at: Instant,
    problem: Option<String>,
}

/// The status of an object, as it was written last.
struct Shown {
    /// Version of the object that it was written over; once there is another, the object itself tells.
    over: String,
    status: Value,
    at: Instant,
}

/// What a status was made of.
struct Settled {
    object: Arc<Resource>,
    live: Option<Live>,
    refused: Option<Refused>,
}

impl Keeper {
    async fn run(mut self) {
        let mut resources = self.door.resources();
        let mut published = self.control.published();
        let mut acknowledged = self.control.acknowledged();
        let mut known = false;
        loop {
            published.borrow_and_update();
            acknowledged.borrow_and_update();
            let objects = resources.borrow_and_update().clone();
            let mut again = Instant::now() + LOOK;
            if let Some(objects) = objects {
                if !std::mem::replace(&mut known, true) {
                    info!(
                        namespace = self.door.namespace(),
                        objects = objects.len(),
                        "gateways can be written with kubectl"
                    );
                }
                self.refusals.retain(|object| objects.contains_key(object));
                self.shown.retain(|object, _| objects.contains_key(object));
                self.settled.retain(|object, _| objects.contains_key(object));
                again = again.min(self.round(&objects).await);
            }
            let lives = tokio::select! {
                changed = resources.changed() => changed.is_ok(),
                changed = published.changed() => changed.is_ok(),
                changed = acknowledged.changed() => changed.is_ok(),
                () = sleep_until(again) => true,
            };
            if !lives {
                return;
            }
        }
    }

    /// Does what can be done now; when to come back at the latest.
    async fn round(&mut self, objects: &BTreeMap<String, Arc<Resource>>) -> Instant {
        let mut again = Instant::now() + LOOK;
        let mut view = self.control.view();
        let mut plan = self.plan(objects, &view, &mut again);
        // Each control step changes what is known; a bounded number of times, so that news come in.
        for _ in 0..4 {
            let now = Instant::now();
            if now < self.control_at || !self.ask_control(&plan.steps).await {
                break;
            }
            view = self.control.view();
            plan = self.plan(objects, &view, &mut again);
        }
        if self.control_at > Instant::now() {
            again = again.min(self.control_at);
        }
        again = again.min(self.write(&plan.steps).await);
        again.min(self.show(objects, &view, &plan.claims).await)
    }

    fn plan(&mut self, objects: &BTreeMap<String, Arc<Resource>>, view: &View, again: &mut Instant) -> Plan {
        if !view.started {
            return Plan::default();
        }
        if let Some(next) = self.refusals.release(view.revision, self.start.elapsed()) {
            *again = (*again).min(self.start + next);
        }
        planned(objects, view, &self.refusals)
    }

    /// True when something was changed.
    async fn ask_control(&mut self, steps: &[Step]) -> bool {
        let mut progress = false;
        let mut remember: Vec<Part> = Vec::new();
        for step in steps {
            if let Step::Remember { gateway, mirror } = step {
                let change = Change::Mirror { gateway: gateway.clone(), mirror: mirror.clone() };
                remember.push(change.into());
            }
            let Some(request) = request(step) else { continue };
            match self.control.submit(request).await {
                Ok(_) => {
                    progress = true;
                    if let Step::Declare { object, .. } = step {
                        self.refusals.accepted(object);
                    }
                }
                Err(refusal) => match (refusal.kind, step) {
                    (RefusalKind::Unavailable | RefusalKind::Internal, _) => {
                        warn!("what kubectl wrote waits: {refusal}");
                        self.control_at = Instant::now() + LOOK;
                        return progress;
                    }
                    // Somebody was faster, and everything is planned anew.
                    (RefusalKind::Conflict, _) => progress = true,
                    (_, Step::Declare { object, uid, generation, .. }) => {
                        let why = Refused { code: refusal.code.clone(), message: refusal.message() };
                        let revision = self.control.view().revision;
                        self.refusals.refused(object, uid, *generation, why, revision, self.start.elapsed());
                        progress = true;
                    }
                    // It cannot be deleted this way, and so gets its object back.
                    (_, Step::Remove { gateway, .. }) => {
                        remember.push(Change::Mirror { gateway: gateway.clone(), mirror: None }.into());
                    }
                    _ => {}
                },
            }
        }
        for some in remember.chunks(AT_ONCE) {
            let request = Request::new(Change::Many(some.to_vec()), control::plan::VAMP);
            match self.control.submit(request).await {
                Ok(_) => progress = true,
                Err(refusal) => {
                    warn!("what is known of custom resources cannot be kept: {refusal}");
                    self.control_at = Instant::now() + LOOK;
                    return progress;
                }
            }
        }
        progress
    }

    /// Carries out what is for the cluster.
    async fn write(&mut self, steps: &[Step]) -> Instant {
        let now = Instant::now();
        let never = now + LOOK;
        self.written.retain(|_, (_, at)| now.duration_since(*at) < ECHO);
        let wanted: Vec<(String, Step)> = (steps.iter())
            .filter_map(|step| match step {
                Step::Create { object, .. } | Step::Update { object, .. } | Step::Delete { object, .. } => {
                    Some((object.clone(), step.clone()))
                }
                _ => None,
            })
            .filter(|(object, step)| self.written.get(object).is_none_or(|(done, _)| done != step))
            .collect();
        if wanted.is_empty() {
            return never;
        }
        if now < self.write_at {
            return self.write_at;
        }
        let work = wanted.into_iter().map(|(object, step)| carry_out(self.door.clone(), object, step));
        let results: Vec<_> = futures_util::stream::iter(work).buffer_unordered(PARALLEL).collect().await;
        let (mut failure, mut late) = (None, false);
        for (object, step, result) in results {
            match result {
                Ok(()) => {
                    info!(object, step = word(&step), "custom resource written");
                    self.written.insert(object, (step, Instant::now()));
                }
                Err(WriteError::Late) => late = true,
                Err(WriteError::Failed(message)) => failure = failure.max(Some(message)),
            }
        }
        self.settle(failure);
        match (self.failures > 0, late) {
            (true, _) => self.write_at,
            (_, true) => Instant::now() + LATE,
            _ => never,
        }
    }

    /// Says once what stands in the way, and sets the pause.
    fn settle(&mut self, failure: Option<String>) {
        if failure.is_some() {
            let pause = (FIRST_PAUSE * 2_u32.pow(self.failures.min(10))).min(LONGEST_PAUSE);
            self.failures = self.failures.saturating_add(1);
            self.write_at = Instant::now() + pause;
        } else {
            self.failures = 0;
        }
        if failure != self.problem {
            match &failure {
                Some(message) => warn!("{message}"),
                None => info!("custom resources can be written again"),
            }
            self.problem = failure;
        }
    }

    /// An Event for a document that is refused, when its status is about to say so.
    fn note_refusal(&self, object: &Resource, why: &Refused) {
        let note = Note {
            object: object.name.clone(),
            uid: object.uid.clone(),
            severity: Severity::Warning,
            reason: "Refused".into(),
            message: why.message.clone(),
        };
        if self.notes.try_send(note).is_err() {
            debug!("too many Events wait, one is dropped");
        }
    }

    /// Writes statuses that say something else than they should.
    async fn show(
        &mut self,
        objects: &BTreeMap<String, Arc<Resource>>,
        view: &View,
        claims: &BTreeMap<String, Claim>,
    ) -> Instant {
        let now = Instant::now();
        let mut next = now + LOOK;
        if now < self.write_at {
            return self.write_at;
        }
        let date = date();
        let shared = self.platform.addresses(SHARED);
        let mut due: Vec<(bool, Arc<Resource>, Value, Value)> = Vec::new();
        let mut refusals = Vec::new();
        for (name, claim) in claims {
            let Some(object) = objects.get(name) else { continue };
            let (gateway, refused) = match claim {
                Claim::Accepted(gateway) => (Some(gateway), None),
                Claim::Refused { gateway, why } => (gateway.as_ref(), Some(why)),
                Claim::Pending => continue,
            };
            let live = gateway.and_then(|gateway| {
                let (entry, mirror) = (view.gateways.get(gateway)?, view.mirrors.get(gateway)?);
                Some(live(gateway, entry, mirror, view, &shared))
            });
            let settled = self.settled.get(name).is_some_and(|settled| {
                Arc::ptr_eq(&settled.object, object)
                    && settled.live == live
                    && settled.refused.as_ref() == refused
            });
            if settled {
                continue;
            }
            let shown = self.shown.get(name).filter(|shown| shown.over == object.version);
            let current = shown.map_or(&object.status, |shown| &shown.status);
            let mut seen = Resource::clone(object);
            seen.status = current.clone();
            let wanted = status(&seen, live.as_ref(), refused, &date);
            let Some(patch) = status_patch(current, &wanted) else {
                let settled = Settled { object: object.clone(), live, refused: refused.cloned() };
                self.settled.insert(name.clone(), settled);
                continue;
            };
            let urgent = kubernetes::gateways::is_urgent(&patch);
            let calm_at = self.shown.get(name).map_or(now, |shown| shown.at + CALM);
            if urgent || calm_at <= now {
                if let Some(why) = refused.filter(|why| !says(current, object.generation, why)) {
                    refusals.push((object, why));
                }
                due.push((!urgent, object.clone(), patch, wanted));
            } else {
                next = next.min(calm_at);
            }
        }
        for (object, why) in refusals {
            self.note_refusal(object, why);
        }
        due.sort_by_key(|(calm, ..)| *calm);
        if due.len() > STATUSES {
            due.truncate(STATUSES);
            next = next.min(now + STATUS_PAUSE);
        }
        let work = due.into_iter().map(|(_, object, patch, wanted)| {
            let door = self.door.clone();
            async move {
                let result = door.set_status(&object.name, &patch).await;
                (object, wanted, result)
            }
        });
        let results: Vec<_> = futures_util::stream::iter(work).buffer_unordered(PARALLEL).collect().await;
        if results.is_empty() {
            return next;
        }
        let mut failure = None;
        for (object, status, result) in results {
            match result {
                Ok(()) => {
                    let shown = Shown { over: object.version.clone(), status, at: Instant::now() };
                    self.shown.insert(object.name.clone(), shown);
                }
                // It is gone.
                Err(WriteError::Late) => {}
                Err(WriteError::Failed(message)) => failure = failure.max(Some(message)),
            }
        }
        self.settle(failure);
        if self.failures > 0 { self.write_at } else { next }
    }
}

fn planned(objects: &BTreeMap<String, Arc<Resource>>, view: &View, refusals: &Refusals) -> Plan {
    let declared = |entry: &control::Entry| Declared { version: entry.version, spec: entry.declared.clone() };
    let gateways = view.gateways.iter().map(|(name, entry)| (name.clone(), declared(entry))).collect();
    let mirrors = view.mirrors.iter().map(|(name, stored)| (name.clone(), stored.mirror.clone())).collect();
    plan(Known { resources: objects, gateways: &gateways, mirrors: &mirrors, refused: refusals.current() })
}

/// What a step asks of control on its own; what is to be remembered goes together.
fn request(step: &Step) -> Option<Request> {
    match step {
        Step::Declare { document, uid, generation, actor, own, body, .. } => {
            let change = Change::Declare {
                document: document.as_ref().clone(),
                uid: uid.clone(),
                generation: *generation,
                own: own.clone(),
            };
            Some(Request { body: Some(body.clone()), ..Request::new(change, actor.clone()) })
        }
        Step::Remove { gateway, version } => {
            let parts = [
                Change::DeleteGateway(gateway.clone()),
                Change::Mirror { gateway: gateway.clone(), mirror: None },
            ];
            let change = Change::Many(parts.map(Part::from).into());
            Some(Request { if_match: Some(*version), ..Request::new(change, KUBECTL) })
        }
        Step::Remember { .. } | Step::Create { .. } | Step::Update { .. } | Step::Delete { .. } => None,
    }
}

async fn carry_out(door: Arc<Door>, object: String, step: Step) -> (String, Step, Result<(), WriteError>) {
    let result = match &step {
        Step::Create { body, .. } => door.create(body).await,
        Step::Update { object, patch } => door.update(object, patch).await,
        Step::Delete { object, uid, version } => door.delete(object, uid, version).await,
        // To control.
        Step::Declare { .. } | Step::Remove { .. } | Step::Remember { .. } => Ok(()),
    };
    (object, step, result)
}

/// True when a status says already that this document is refused for this reason.
fn says(status: &Value, generation: i64, why: &Refused) -> bool {
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let mut accepted = conditions.filter(|condition| condition["type"] == "Accepted");
    accepted.any(|condition| {
        condition["message"] == *why.message && condition["observedGeneration"] == generation
    })
}

fn word(step: &Step) -> &'static str {
    match step {
        Step::Create { .. } => "create",
        Step::Update { .. } => "update",
        Step::Delete { .. } => "delete",
        Step::Declare { .. } => "declare",
        Step::Remove { .. } => "remove",
        Step::Remember { .. } => "remember",
    }
}

/// Now, as Kubernetes writes times.
fn date() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Makes notes of what happens in control.
async fn listen(control: Control, door: Arc<Door>, notes: mpsc::Sender<Note>) {
    let mut events = control.subscribe();
    loop {
        let mut some: Vec<Arc<Event>> = Vec::new();
        match events.recv().await {
            Ok(event) => some.push(event),
            // What was lost is in the event log of Vamp.
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        }
        let end = Instant::now() + TOGETHER;
        while some.len() < LINES
            && let Ok(Ok(event)) = tokio::time::timeout_at(end, events.recv()).await
        {
            some.push(event);
        }
        let mirrors = control.view().mirrors.clone();
        let resources = door.resources().borrow().clone();
        for Line { gateway, severity, reason, message } in lines(&some) {
            let uid = mirrors.get(&gateway).map(|stored| stored.mirror.uid.clone()).unwrap_or_default();
            let object = resources.iter().flat_map(|all| all.values()).find(|object| object.uid == uid);
            let Some(object) = object else { continue };
            let note = Note { object: object.name.clone(), uid, severity, reason, message };
            if notes.try_send(note).is_err() {
                debug!("too many Events wait, one is dropped");
            }
        }
    }
}

/// Tells notes as Kubernetes Events, one after the other. Nothing waits for them, and what cannot be told is let go.
async fn tell(door: Arc<Door>, mut notes: mpsc::Receiver<Note>) {
    let start = Instant::now();
    let number = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let mut told = Notes::default();
    let mut problem = None;
    while let Some(note) = notes.recv().await {
        let again = note.clone();
        let Some(telling) = told.tell(note, door.namespace(), number, start.elapsed(), &date()) else {
            continue;
        };
        let mut result = door.tell(telling.event.as_deref(), &telling.body).await;
        if let (Err(WriteError::Late), Some(event)) = (&result, &telling.event) {
            // It became too old for the cluster.
            told.forget(event);
            if let Some(anew) = told.tell(again, door.namespace(), number, start.elapsed(), &date()) {
                result = door.tell(None, &anew.body).await;
            }
        }
        let failure = match result {
            Err(WriteError::Failed(message)) => Some(message),
            _ => None,
        };
        // Once until it works again: an API server that is away fails in many ways.
        if let (Some(message), None) = (&failure, &problem) {
            warn!("{message}");
        }
        problem = failure;
    }
}
