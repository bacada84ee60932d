//! The platform with real processes: shells, and this very test binary as a small server ([`helper`]).
//! Every wait has a deadline.

use std::fs;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::instance::Instance;
use tempfile::TempDir;

use super::*;
use crate::status::{InstanceState, InstanceStatus};

/// Not a test: what the processes of these tests run. Answers HTTP on `POD_IP:PORT`, with 200 unless the file
/// `UNREADY` exists; or, as `HELPER=platform`, is a whole platform that waits to be killed.
#[test]
#[ignore = "runs as a child process of the other tests"]
fn helper() {
    let get = |name: &str| std::env::var(name).unwrap_or_default();
    match get("HELPER").as_str() {
        "server" => {
            let listener = TcpListener::bind(format!("{}:{}", get("POD_IP"), get("PORT"))).unwrap();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let status = if Path::new(&get("UNREADY")).exists() { "503 Busy" } else { "200 OK" };
                let _ = stream.read(&mut [0; 1024]);
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            }
        }
        "platform" => {
            let directory = PathBuf::from(get("DIRECTORY"));
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let platform = Platform::start(settings(&directory));
                let script = format!("sleep 1000 & echo $! > {}/$POD_NAME.pid; wait", directory.display());
                let _ = platform.apply(&manifest("deep", 2, "1", &shell(&script))).await.unwrap();
                std::future::pending::<()>().await;
            });
        }
        other => panic!("unknown helper '{other}'"),
    }
}

fn settings(directory: &Path) -> Settings {
    Settings {
        inventory: vec![directory.join("inventory")],
        data_dir: directory.join("data"),
        namespace: "default".into(),
        program: directory.join("program"),
        loopback_base: None,
        environment: Vec::new(),
    }
}

/// A container that runs the helper as a server.
fn server() -> String {
    format!(
        "command: ['{}', platform::tests::helper, --exact, --ignored, --nocapture]\n        env: [{{name: HELPER, value: server}}, {{name: PORT, value: '18080'}}, {{name: UNREADY, value: '$(POD_NAME)'}}]\n        ports: [{{containerPort: 18080, name: http}}]",
        std::env::current_exe().unwrap().display()
    )
}

fn shell(script: &str) -> String {
    format!("command: [sh, -c, \"{script}\"]")
}

fn manifest(name: &str, replicas: usize, version: &str, container: &str) -> String {
    format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  template:
    metadata:
      labels: {{app: {name}, version: '{version}'}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: example/{name}:{version}
        {container}
"
    )
}

struct Fixture {
    directory: TempDir,
    platform: Platform,
}

impl Fixture {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("inventory")).unwrap();
        let platform = Platform::start(settings(directory.path()));
        Self { directory, platform }
    }

    fn inventory(&self, name: &str) -> PathBuf {
        self.directory.path().join("inventory").join(name)
    }

    async fn apply(&self, manifest: &str) -> Vec<Outcome> {
        self.platform.apply(manifest).await.unwrap().into_iter().map(|applied| applied.outcome).collect()
    }

    /// Waits until the observation is as wanted.
    async fn observed(&self, what: &str, wanted: impl Fn(&Observation) -> bool) -> Arc<Observation> {
        let mut observations = self.platform.observe();
        within(what, async { observations.wait_for(|o| wanted(o)).await.unwrap().clone() }).await
    }

    /// Waits until so many instances of a version are ready, and returns those.
    async fn ready(&self, version: &str, count: usize) -> Vec<Instance> {
        let ready = |o: &Observation| -> Vec<Instance> {
            o.instances
                .iter()
                .filter(|i| i.ready && i.labels["version"] == version)
                .map(|i| (**i).clone())
                .collect()
        };
        let what = format!("{count} ready of {version}");
        ready(&*self.observed(&what, |o| ready(o).len() == count).await)
    }

    async fn status(&self, what: &str, wanted: impl Fn(&WorkloadStatus) -> bool) -> WorkloadStatus {
        let mut statuses = self.platform.watch_workloads();
        let found = within(what, async {
            statuses.wait_for(|all| all.first().is_some_and(&wanted)).await.unwrap().clone()
        });
        found.await[0].clone()
    }

    async fn no_workload(&self) {
        let mut statuses = self.platform.watch_workloads();
        within("no workload", async { drop(statuses.wait_for(|all| all.is_empty()).await.unwrap()) }).await;
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// True while the process exists and has not ended. (A zombie has ended.)
fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

fn pids(instances: &[InstanceStatus]) -> Vec<u32> {
    instances.iter().flat_map(|instance| instance.pids.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_runs_scales_rolls_and_ends() {
    let fixture = Fixture::start();
    assert_eq!(fixture.apply(&manifest("shop", 1, "1.0", &server())).await, [Outcome::Created]);
    let first = fixture.ready("1.0", 1).await.remove(0);
    assert_eq!(first.labels["app"], "shop");
    assert!(first.exists && first.ip.unwrap().is_loopback());
    assert_eq!(first.containers[0].image.as_deref(), Some("example/shop:1.0"));
    assert_eq!(first.containers[0].ports[0].name.as_deref(), Some("http"));
    let answer = std::net::TcpStream::connect((first.ip.unwrap(), 18080));
    assert!(answer.is_ok(), "it listens where it says");

    assert_eq!(fixture.apply(&manifest("shop", 3, "1.0", &server())).await, [Outcome::Configured]);
    let three = fixture.ready("1.0", 3).await;
    assert!(three.contains(&first), "scaling touches nobody else");
    let addresses: std::collections::BTreeSet<_> = three.iter().map(|i| i.ip).collect();
    assert_eq!(addresses.len(), 3);
    assert_eq!(fixture.apply(&manifest("shop", 3, "1.0", &server())).await, [Outcome::Unchanged]);

    // A new version: at no time fewer than three ready ones.
    let mut observations = fixture.platform.observe();
    observations.mark_unchanged();
    fixture.apply(&manifest("shop", 3, "2.0", &server())).await;
    within("rollout", async {
        loop {
            let now = observations.borrow_and_update().clone();
            let ready = |version: &str| {
                now.instances.iter().filter(|i| i.ready && i.labels["version"] == version).count()
            };
            assert!(ready("1.0") + ready("2.0") >= 3);
            if ready("2.0") == 3 && ready("1.0") == 0 {
                break;
            }
            observations.changed().await.unwrap();
        }
    })
    .await;
    let status = fixture.status("old ones gone", |status| status.instances.len() == 3).await;
    assert_eq!((status.ready, status.updated, status.restarts, status.problem), (3, 3, 0, None));
    assert!(status.instances.iter().all(|i| i.state == InstanceState::Running && i.ports == [18080]));

    let processes = pids(&status.instances);
    assert_eq!(processes.len(), 3);
    assert!(fixture.platform.delete("deployment", "shop").await.unwrap());
    fixture.no_workload().await;
    assert!(processes.iter().all(|pid| !alive(*pid)));
    assert!(fixture.platform.observe().borrow().instances.is_empty());
    assert!(!fixture.platform.delete("deployment", "shop").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_http_probe() {
    let fixture = Fixture::start();
    let flag = fixture.directory.path().join("unready");
    fs::write(&flag, "").unwrap();
    let container = format!(
        "{}\n        readinessProbe: {{httpGet: {{path: /health, port: http}}, periodSeconds: 1, failureThreshold: 1}}",
        server().replace("$(POD_NAME)", &flag.display().to_string())
    );
    fixture.apply(&manifest("shop", 1, "1", &container)).await;
    let status = fixture
        .status("probed", |s| s.instances.first().is_some_and(|i| !i.pids.is_empty() && !i.ready))
        .await;
    assert_eq!(status.instances[0].state, InstanceState::Starting);
    assert!(fixture.platform.observe().borrow().instances[0].exists, "it counts before it is ready");
    fs::remove_file(&flag).unwrap();
    fixture.ready("1", 1).await;
    fs::write(&flag, "").unwrap();
    fixture.ready("1", 0).await;
    let log = fixture.platform.logs("shop", 10).unwrap().join("\n");
    assert!(log.contains("GET /health answered 503"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_by_command_and_without_ports() {
    let fixture = Fixture::start();
    let flag = fixture.directory.path().join("ready");
    let container = format!(
        "{}\n        readinessProbe: {{exec: {{command: [test, -e, '{}']}}, periodSeconds: 1}}",
        shell("sleep 1000"),
        flag.display()
    );
    fixture.apply(&manifest("probed", 1, "probed", &container)).await;
    fixture.apply(&manifest("simple", 1, "simple", &shell("sleep 1000"))).await;
    fixture.ready("simple", 1).await;
    fixture.ready("probed", 0).await;
    fs::write(&flag, "").unwrap();
    fixture.ready("probed", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_is_restarted_with_back_off() {
    let fixture = Fixture::start();
    fixture.apply(&manifest("crash", 1, "1", &shell("echo oops to stderr >&2; exit 3"))).await;
    let status = fixture
        .status("two restarts", |s| s.restarts >= 2 && s.instances[0].state == InstanceState::CrashLoop)
        .await;
    assert_eq!(status.last_exit.as_deref(), Some("exited with code 3"));
    assert_eq!(status.ready, 0);
    let log = fixture.platform.logs(&status.instances[0].name, 100).unwrap();
    assert!(log.iter().filter(|line| *line == "oops to stderr").count() >= 2, "{log:?}");
    assert!(log.iter().any(|line| line.contains("next start in")), "{log:?}");
    let address = &status.instances[0].ip;
    let later = fixture.status("one more", |s| s.restarts > status.restarts).await;
    assert_eq!(later.instances[0].ip, *address, "the address stays");

    fixture.apply(&manifest("crash", 1, "1", "command: [/no/such/program]")).await;
    let status = fixture
        .status("cannot start", |s| {
            s.instances.len() == 1 && s.last_exit.as_ref().is_some_and(|e| e.contains("/no/such/program"))
        })
        .await;
    assert_eq!(status.instances[0].state, InstanceState::CrashLoop);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_applied_survives_a_restart() {
    let fixture = Fixture::start();
    let both = format!(
        "{}---\n{}",
        manifest("shop", 2, "1.10", &shell("sleep 1000")),
        "kind: Pod\napiVersion: v1\nmetadata: {name: vm, labels: {version: vm}}\nstatus: {podIP: 10.0.0.1}\n"
    );
    assert_eq!(fixture.apply(&both).await, [Outcome::Created, Outcome::Created]);
    let before = fixture.ready("1.10", 2).await;
    fixture.ready("vm", 1).await;
    let processes = pids(&fixture.platform.workloads()[0].instances);
    fixture.platform.stop().await;
    assert!(!processes.is_empty() && processes.iter().all(|pid| !alive(*pid)));
    assert_eq!(fixture.platform.observe().borrow().instances.len(), 3, "a shutdown is no outage");
    assert!(fixture.platform.apply(&both).await.is_err(), "stopped is stopped");

    let again = Fixture { platform: Platform::start(settings(fixture.directory.path())), ..fixture };
    assert_eq!(again.ready("1.10", 2).await, before, "same names, same addresses");
    again.ready("vm", 1).await;
    assert!(again.platform.delete("pods", "default/vm").await.unwrap());
    assert_eq!(again.platform.observe().borrow().instances.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_refused_with_reasons() {
    let fixture = Fixture::start();
    let check = async |manifest: &str, line: Option<usize>, part: &str| {
        let problems = fixture.platform.apply(manifest).await.unwrap_err();
        assert!(problems.to_string().contains(part), "{problems}");
        assert_eq!(problems.0[0].position.map(|position| position.line), line, "{problems}");
    };
    check(&manifest("a", 1, "1", "args: [x]"), Some(1), "there is no 'command'").await;
    check(&manifest("a", 1000, "1", &shell("x")), Some(1), "at most 100").await;
    check(&manifest("A", 1, "1", &shell("x")), Some(1), "lower case letters").await;
    check("\nkind: CronJob\n", Some(2), "of kind 'CronJob'").await;
    check("kind: Pod\nmetadata: [", Some(2), "not valid YAML").await;
    check("", None, "holds no object").await;
    assert!(fixture.platform.workloads().is_empty());
    assert!(fixture.platform.delete("deployment", "../../x").await.is_ok_and(|deleted| !deleted));

    // In a file the same is a problem of the workload, and what runs stays.
    fs::write(fixture.inventory("a.yaml"), manifest("a", 1, "1", &shell("sleep 1000"))).unwrap();
    fixture.ready("1", 1).await;
    fs::write(fixture.inventory("a.yaml"), manifest("a", 1, "2", "args: [x]")).unwrap();
    let status = fixture.status("refused", |status| status.problem.is_some()).await;
    assert_eq!((status.ready, status.instances.len()), (1, 1));
    assert!(status.source.unwrap().ends_with("a.yaml"));
    let error = fixture.platform.delete("Deployment", "a").await.unwrap_err().to_string();
    assert!(error.contains("a.yaml; remove it there"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_files_take_effect_within_a_moment() {
    let fixture = Fixture::start();
    fixture.observed("the first read", |o| o.complete).await;
    let pod = |version: &str| {
        format!(
            "kind: Pod\napiVersion: v1\nmetadata: {{name: p, labels: {{version: '{version}'}}}}\nstatus: {{podIP: 10.0.0.1}}\n"
        )
    };
    let path = fixture.inventory("p.yaml");
    let mut times = Vec::new();
    let mut begin = Instant::now();
    let mut took = || times.push(std::mem::replace(&mut begin, Instant::now()).elapsed());
    fs::write(&path, pod("1")).unwrap();
    fixture.ready("1", 1).await;
    took();
    // Replaced by rename, as editors and configuration tools do.
    let temporary = fixture.inventory(".p.new");
    fs::write(&temporary, pod("2")).unwrap();
    fs::rename(&temporary, &path).unwrap();
    fixture.ready("2", 1).await;
    took();
    // Written in two halves: never seen half.
    let whole = format!("{}---\n{}", pod("3"), pod("4").replace("name: p", "name: q"));
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&whole.as_bytes()[..whole.len() / 2 + 20]).unwrap();
    file.flush().unwrap();
    file.write_all(&whole.as_bytes()[whole.len() / 2 + 20..]).unwrap();
    drop(file);
    fixture.ready("4", 1).await;
    took();
    fs::write(&path, "kind: Pod\nmetadata: {").unwrap();
    let broken = fixture.observed("a problem", |o| o.problem.is_some()).await;
    took();
    assert_eq!(broken.instances.len(), 2, "the last good content stays");
    assert!(broken.problem.as_ref().is_some_and(|p| p.contains("p.yaml: line 2")), "{:?}", broken.problem);
    fs::remove_file(&path).unwrap();
    fixture.observed("nothing left", |o| o.instances.is_empty() && o.problem.is_none()).await;
    took();
    // Each should take some 0.2 s; on a busy machine the best ones count.
    times.sort_unstable();
    assert!(times[1] < Duration::from_secs(2), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stubborn_processes_and_their_children_are_killed() {
    let fixture = Fixture::start();
    let pid_file = fixture.directory.path().join("pid");
    let script =
        format!("trap '' TERM; sleep 1000 & echo $! > {}; while true; do wait; done", pid_file.display());
    fixture.apply(&manifest("stubborn", 1, "1", &shell(&script))).await;
    fixture.ready("1", 1).await;
    until("the grandchild", || fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n'))).await;
    let grandchild: u32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let processes = pids(&fixture.platform.workloads()[0].instances);
    assert!(alive(grandchild));
    fixture.platform.delete("deployment", "stubborn").await.unwrap();
    fixture.no_workload().await;
    until("everything gone", || !alive(grandchild) && processes.iter().all(|pid| !alive(*pid))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_kills_everything() {
    let fixture = Fixture::start();
    fixture.apply(&manifest("shop", 2, "1", &shell("sleep 1000"))).await;
    fixture.ready("1", 2).await;
    let processes = pids(&fixture.platform.workloads()[0].instances);
    drop(fixture.platform);
    until("processes gone", || processes.iter().all(|pid| !alive(*pid))).await;
}

/// SIGKILL gives us no chance to clean up: the kernel ends our children, the reaper theirs.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn killing_the_platform_kills_its_processes() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("inventory")).unwrap();
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["platform::tests::helper", "--exact", "--ignored", "--nocapture"])
        .env("HELPER", "platform")
        .env("DIRECTORY", directory.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let children = || -> Vec<u32> {
        // The threads of the parent list their children.
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", parent.id())) else { return Vec::new() };
        tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
            .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
            .collect()
    };
    let grandchildren = || -> Vec<u32> {
        let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "pid"))
            .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
            .collect()
    };
    until("two grandchildren", || grandchildren().len() == 2).await;
    let processes: Vec<u32> = children().into_iter().chain(grandchildren()).collect();
    assert_eq!(processes.len(), 5, "two shells, two of their children, and the reaper");
    assert!(processes.iter().all(|pid| alive(*pid)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("children gone", || processes.iter().all(|pid| !alive(*pid))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_images_run_our_own_program() {
    let fixture = Fixture::start();
    let program = fixture.directory.path().join("program");
    fs::write(&program, "#!/bin/sh\necho \"$@\" \"$POD_IP\" \"$LOCALE\"\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = manifest("cart", 1, "1", "env: [{name: LOCALE, value: IE}]")
        .replace("example/cart:1", "vampio/sava-cart:1.0.5");
    fixture.apply(&text).await;
    let status = fixture.status("started", |s| s.ready == 1).await;
    let name = &status.instances[0].name;
    until("its output", || fixture.platform.logs(name, 10).is_some_and(|lines| !lines.is_empty())).await;
    let ip = &status.instances[0].ip;
    assert_eq!(
        fixture.platform.logs(name, 10).unwrap(),
        [format!("sava-cart --version 1.0.5 --listen {ip}:3000 {ip} IE")]
    );
}
