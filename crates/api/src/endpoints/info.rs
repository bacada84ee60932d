//! `/info` and `/stats`: what this process is and how it is doing (section 16).
//!
//! The section `jvm` keeps its name (A26): clients read load and memory from it without asking.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use model::event::EventQuery;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::App;
use crate::web::parameters::Parameters;
use crate::web::reply::{Answer, Reply};

/// A component that does not answer within this time has failed.
const PATIENCE: Duration = Duration::from_secs(3);

const SECTIONS: [&str; 7] =
    ["jvm", "persistence", "key_value", "pulse", "gateway_driver", "container_driver", "workflow_driver"];

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(info))
        .routes(routes!(info_alias))
        .routes(routes!(stats))
        .routes(routes!(stats_alias))
}

/// This process and its components.
#[utoipa::path(get, path = "/api/v1/info", tag = "information",
    params(("on" = Option<Vec<String>>, Query, description = "Only these sections: jvm, persistence, key_value, pulse, gateway_driver, container_driver, workflow_driver.")),
    responses((status = 200, description = "All is well.", body = Object), (status = 500, description = "The same body, with `error` at the component that failed.", body = Object)))]
pub(crate) async fn info(State(app): State<Arc<App>>, parameters: Parameters) -> Answer {
    let asked: Vec<&str> = parameters.all("on").collect();
    let wanted = |section: &str| asked.is_empty() || asked.contains(&section);
    let info = &app.process.info;
    let mut document = Map::new();
    document.insert("message".into(), info.message.clone().into());
    document.insert("version".into(), info.version.clone().into());
    document.insert("uuid".into(), info.uuid.clone().into());
    document.insert("running_since".into(), info.started.to_string().into());
    let mut failed = false;
    for section in SECTIONS.into_iter().filter(|section| wanted(section)) {
        let mut value = match section {
            "jvm" => process(info.started),
            "persistence" => persistence(&app),
            "key_value" | "pulse" => json!({ "type": info.store }),
            "gateway_driver" => json!({ "marshallers": { super::vga::NAME: { "type": super::vga::TYPE } } }),
            "container_driver" => json!({ "type": info.platform }),
            _ => json!({}),
        };
        let problem = match section {
            "persistence" | "pulse" => store_problem(&app).await,
            "container_driver" => app.control().view().observation.problem.clone(),
            _ => None,
        };
        if let (Some(problem), Some(value)) = (problem, value.as_object_mut()) {
            value.insert("error".into(), problem.into());
            failed = true;
        }
        document.insert(section.into(), value);
    }
    let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    Ok(Reply::new(status, Value::Object(document)))
}

/// The same as `/info`.
#[utoipa::path(get, path = "/api/v1/information", tag = "information",
    params(("on" = Option<Vec<String>>, Query, description = "Only these sections.")),
    responses((status = 200, description = "All is well.", body = Object), (status = 500, description = "The same body, with `error` at the component that failed.", body = Object)))]
pub(crate) async fn info_alias(app: State<Arc<App>>, parameters: Parameters) -> Answer {
    info(app, parameters).await
}

/// Numbers about this process.
#[utoipa::path(get, path = "/api/v1/stats", tag = "information", responses((status = 200, description = "Numbers.", body = Object)))]
pub(crate) async fn stats(State(app): State<Arc<App>>) -> Answer {
    let view = app.control().view();
    let streams = app.limits().streams - app.streams.available_permits();
    Ok(Reply::ok(json!({
        "jvm": process(app.process.info.started),
        "system": { "revision": view.revision, "gateways": view.gateways.len(), "instances": view.observation.instances.len() },
        "persistence": persistence(&app),
        "pulse": { "streams": streams },
    })))
}

/// The same as `/stats`.
#[utoipa::path(get, path = "/api/v1/statistics", tag = "information", responses((status = 200, description = "Numbers.", body = Object)))]
pub(crate) async fn stats_alias(app: State<Arc<App>>) -> Answer {
    stats(app).await
}

fn persistence(app: &App) -> Value {
    let view = app.control().view();
    let mut artifacts = Map::new();
    artifacts.insert("gateways".into(), view.gateways.len().into());
    for kind in super::artifacts::KINDS {
        artifacts.insert(kind.as_str().into(), view.artifacts_of(kind).count().into());
    }
    json!({ "database": { "type": app.process.info.store, "status": "valid", "artifacts": artifacts }, "archiving": true })
}

async fn store_problem(app: &App) -> Option<String> {
    if let Some(problem) = &app.control().view().store_problem {
        return Some(problem.clone());
    }
    let question = app.control().store().events(EventQuery::default(), store::Page::new(1, 1));
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {PATIENCE:?}")),
    }
}

/// The process and its machine, in the form of a Java virtual machine.
fn process(started: Timestamp) -> Value {
    let machine = Machine::read();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    json!({
        "operating_system": {
            "name": std::env::consts::OS, "architecture": std::env::consts::ARCH, "version": machine.kernel,
            "available_processors": processors, "system_load_average": machine.load,
        },
        "runtime": {
            "process": format!("{}@{}", std::process::id(), machine.host),
            "virtual_machine_name": "none", "virtual_machine_vendor": "none", "virtual_machine_version": "none",
            "start_time": started.as_millisecond(), "up_time": Timestamp::now().as_millisecond() - started.as_millisecond(),
        },
        "memory": {
            "heap": { "init": 0, "max": machine.memory_limit, "committed": machine.resident, "used": machine.resident },
            "non_heap": { "init": 0, "max": -1, "committed": 0, "used": 0 },
        },
        "threads": { "count": machine.threads, "peak_count": machine.threads, "daemon_count": 0, "total_started_count": machine.threads },
    })
}

/// What Linux says about this process and its machine; zeros where it says nothing.
struct Machine {
    kernel: String,
    host: String,
    load: f64,
    resident: u64,
    /// Limit of the control group, else memory of the machine; never 0.
    memory_limit: u64,
    threads: u64,
}

impl Machine {
    fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = text("/proc/self/status");
        let total = field(&text("/proc/meminfo"), "MemTotal:").map_or(0, |kib| kib * 1024);
        let limit = text("/sys/fs/cgroup/memory.max").trim().parse::<u64>().unwrap_or(total);
        Self {
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            host: text("/proc/sys/kernel/hostname").trim().to_owned(),
            load: text("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
            resident: field(&status, "VmRSS:").map_or(0, |kib| kib * 1024),
            memory_limit: if total == 0 { limit } else { limit.min(total) }.max(1),
            threads: field(&status, "Threads:").unwrap_or_default(),
        }
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
