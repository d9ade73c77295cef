//! Power cuts under a working database: what a server acknowledged is there afterwards.
//!
//! The store lies on its *lossy* device, which keeps what was not flushed in the memory of the
//! process that serves the mount; killing that process is a power cut, with no help from the host's
//! cache. The transactions that PostgreSQL acknowledged are remembered outside, in the test.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tine_fs::{Fs, NewRoot};
use tine_fuse::{Mount, MountOptions, mount_at};
use tine_service::postgres::{Cluster, Installation, Launch, Server};
use tine_store::{Lossy, Options, Store};

const SERVE: &str = "TINE_POWER_CUT_SERVE";
const CLIENTS: usize = 2;
/// Transactions that each round has acknowledged before its power cut.
const ACKNOWLEDGED_MIN: usize = 10;

#[test]
fn acknowledged_transactions_survive_ten_power_cuts() {
    if !serve_if_asked() {
        cut_power("acknowledged_transactions_survive_ten_power_cuts", 10);
    }
}

#[test]
#[ignore = "soak: fifty power cuts"]
fn acknowledged_transactions_survive_fifty_power_cuts() {
    if !serve_if_asked() {
        cut_power("acknowledged_transactions_survive_fifty_power_cuts", 50);
    }
}

#[test]
fn a_flush_that_does_nothing_is_caught() {
    let test = "a_flush_that_does_nothing_is_caught";
    if serve_if_asked() {
        return;
    }
    let Some(mut lab) = Lab::new(test) else { return };
    lab.round(Lossy::IgnoresFlushes);
    let found = lab.verify(Lossy::Honest);
    assert!(
        found.as_ref().is_err_and(|lost| lost.contains("acknowledged are lost")),
        "a broken flush went unnoticed, so that the other test could not have failed: {found:?}"
    );
}

fn cut_power(test: &str, rounds: u64) {
    let Some(mut lab) = Lab::new(test) else { return };
    for round in 1..=rounds {
        lab.round(Lossy::Honest);
        if let Err(lost) = lab.verify(Lossy::Honest) {
            panic!("after power cut {round}: {lost}");
        }
    }
}

/// A store with a cluster on the branch `fork`, and what was acknowledged so far.
struct Lab {
    test: String,
    directory: tempfile::TempDir,
    installation: Installation,
    acknowledged: Arc<Mutex<BTreeSet<u64>>>,
    next: Arc<AtomicU64>,
}

impl Lab {
    /// Makes the base and forks it; `None`, said by name, where this machine can't.
    fn new(test: &str) -> Option<Self> {
        let Some(installation) = Installation::all().into_iter().next() else {
            println!("skipped: {test}: PostgreSQL is not installed");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("tine-cut").tempdir().unwrap();
        run(Command::new("chmod").arg("755").arg(directory.path()));
        let lab = Lab {
            test: test.to_owned(),
            directory,
            installation,
            acknowledged: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
        };
        fs::create_dir(lab.mount()).unwrap();
        match mount_at(&lab.mount(), &MountOptions::new("probe")) {
            Ok(device) => drop(device),
            Err(error) => {
                println!("skipped: {test}: {error}");
                return None;
            }
        }
        tine_sys::fuse_device::unmount_by_force(&lab.mount()).unwrap();

        let store = Store::create(&lab.store(), &Options::default()).unwrap();
        let owner = fs::metadata(lab.directory.path()).unwrap();
        let (uid, gid) = lab.account().unwrap_or_else(|| {
            use std::os::unix::fs::MetadataExt;
            (owner.uid(), owner.gid())
        });
        Fs::format(&store.create_branch("base").unwrap(), &NewRoot { mode: 0o700, uid, gid })
            .unwrap();
        store.close().unwrap();
        lab.fill_base();
        let store = Store::open(&lab.store(), &Options::default()).unwrap();
        store.fork("base", "fork").unwrap();
        store.close().unwrap();
        Some(lab)
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store.tine")
    }

    fn mount(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// The user of PostgreSQL's packages, when root has to step down.
    fn account(&self) -> Option<(u32, u32)> {
        use std::os::unix::fs::MetadataExt;
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let line = users.lines().find(|line| line.starts_with("postgres:"))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    }

    fn command(&self, program: &str) -> Command {
        let program = self.installation.program(program);
        let Some((uid, gid)) = self.account() else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
        command.arg(program).current_dir("/");
        command
    }

    fn fill_base(&self) {
        let served = self.serve("base", Lossy::Honest);
        let mut initdb = self.command("initdb");
        run(initdb.args(["-N", "-U", "owner", "-A", "trust", "-D"]).arg(self.mount()));
        let server = self.start("base").unwrap();
        run(self.command("pgbench").args(["-i", "-q", "-s", "5", &server.uri]));
        self.ask(&server, "create table acknowledged (n bigint primary key)").unwrap();
        server.stop().unwrap();
        served.close();
    }

    /// This test's program once more, as the process that serves the mount.
    fn serve(&self, branch: &str, lossy: Lossy) -> Served {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            &self.test,
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ]);
        let place =
            format!("{}\n{}\n{branch}\n{lossy:?}", self.store().display(), self.mount().display());
        let mut child =
            command.env(SERVE, place).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.ends_with("serving")));
        assert!(ready.is_some(), "the process that serves the mount ended");
        Served { child, _output: lines, mount: self.mount() }
    }

    fn start(&self, identity: &str) -> Result<Server, String> {
        let cluster = Cluster::open(&self.mount()).map_err(|error| error.to_string())?;
        let runtime = self.directory.path().join("run");
        let launch = Launch {
            cluster: &cluster,
            identity,
            label: identity,
            runtime: &runtime,
            port: None,
            patience: Duration::from_secs(60),
        };
        launch.start().map_err(|error| error.to_string())
    }

    fn ask(&self, server: &Server, query: &str) -> Result<String, String> {
        let mut psql = self.command("psql");
        let output =
            psql.args(["-X", "-A", "-t", "-w", "-d", &server.uri, "-c", query]).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Load on the fork, then the cut.
    fn round(&mut self, lossy: Lossy) {
        let served = self.serve("fork", lossy);
        let server = self.start("fork").unwrap();
        let mut load = self.command("pgbench");
        load.args(["-n", "-c", "2", "-T", "60", &server.uri])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut load = load.spawn().unwrap();
        let clients: Vec<_> = (0..CLIENTS).map(|_| self.client(&server)).collect();
        // On a busy machine the clients need longer until there is something to lose.
        let enough = self.acknowledged.lock().unwrap().len() + ACKNOWLEDGED_MIN;
        let begun = Instant::now();
        while self.acknowledged.lock().unwrap().len() < enough {
            assert!(begun.elapsed() < Duration::from_secs(60), "the server acknowledges nothing");
            std::thread::sleep(Duration::from_millis(10));
        }
        let pause = 100 + self.next.load(Ordering::Relaxed) * 37 % 900;
        std::thread::sleep(Duration::from_millis(pause));
        served.cut();
        for client in clients {
            client.join().unwrap();
        }
        // It has ended with its connection, or waits for a server that is gone.
        let _ = load.kill();
        load.wait().unwrap();
    }

    /// One transaction after another; each is remembered when the server has acknowledged it.
    fn client(&self, server: &Server) -> std::thread::JoinHandle<()> {
        let mut psql = Command::new("stdbuf");
        psql.arg("-oL");
        let inner = self.command("psql");
        psql.arg(inner.get_program()).args(inner.get_args());
        psql.args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d", &server.uri])
            .current_dir("/");
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (acknowledged, next) = (Arc::clone(&self.acknowledged), Arc::clone(&self.next));
        std::thread::spawn(move || {
            let mut child = psql.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if writeln!(input, "insert into acknowledged values ({n}) returning n;").is_err() {
                    break;
                }
                match answers.next() {
                    Some(Ok(answer)) if answer == n.to_string() => {
                        acknowledged.lock().unwrap().insert(n);
                    }
                    _ => break,
                }
            }
            drop(input);
            child.wait().unwrap();
        })
    }

    /// Recovers, and compares with what was acknowledged; then the checkers of both sides.
    fn verify(&self, lossy: Lossy) -> Result<(), String> {
        let served = self.serve("fork", lossy);
        let checked = self.verify_database();
        if checked.is_err() {
            served.cut();
            return checked;
        }
        served.close();
        let store =
            Store::open(&self.store(), &Options::default()).map_err(|error| error.to_string())?;
        let report = store.check().map_err(|error| error.to_string())?;
        for name in ["base", "fork"] {
            let tree = store.branch(name).and_then(|branch| branch.read());
            let tree = tree.map_err(|error| error.to_string())?;
            let found = tine_fs::check(&tree).map_err(|error| error.to_string())?;
            if !found.is_empty() {
                return Err(format!("the file tree of {name}: {found:?}"));
            }
        }
        store.close().map_err(|error| error.to_string())?;
        if report.findings.is_empty() {
            Ok(())
        } else {
            Err(format!("tine check: {:?}", report.findings))
        }
    }

    fn verify_database(&self) -> Result<(), String> {
        let server = self.start("fork")?;
        let found = self.ask(&server, "select n from acknowledged order by n")?;
        let found: BTreeSet<u64> = found.lines().filter_map(|line| line.parse().ok()).collect();
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        if !lost.is_empty() {
            return Err(format!(
                "{} of {} acknowledged are lost: {lost:?}",
                lost.len(),
                acknowledged.len()
            ));
        }
        let mut amcheck = self.command("pg_amcheck");
        let amcheck =
            amcheck.args(["--all", "--install-missing", "--maintenance-db", &server.uri]).output();
        let amcheck = amcheck.map_err(|error| error.to_string())?;
        let said = [amcheck.stdout, amcheck.stderr].concat();
        server.stop().map_err(|error| error.to_string())?;
        if amcheck.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&said).into_owned())
        }
    }
}

/// The process that serves the mount.
struct Served {
    child: Child,
    /// Open to the end, or the process could not print its last lines.
    _output: Lines<BufReader<ChildStdout>>,
    mount: PathBuf,
}

impl Served {
    /// The power goes: nothing of the process's memory remains.
    fn cut(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        end_users(&self.mount);
        tine_sys::fuse_device::unmount_by_force(&self.mount).unwrap();
    }

    /// An orderly end.
    fn close(mut self) {
        drop(self.child.stdin.take());
        assert!(
            self.child.wait().unwrap().success(),
            "the process that served the mount failed at its end"
        );
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Only after a panic is it still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            end_users(&self.mount);
            let _ = tine_sys::fuse_device::unmount_by_force(&self.mount);
        }
    }
}

/// Ends the processes that still work in the directory, as a power cut would have.
fn end_users(directory: &Path) {
    for _ in 0..400 {
        let mut any = false;
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let works_there = fs::read_link(process.path().join("cwd"))
                .is_ok_and(|cwd| cwd.starts_with(directory));
            if works_there {
                any = true;
                let pid = process.file_name().to_str().and_then(|pid| pid.parse().ok());
                if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                    // One that has ended since needs no signal.
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
        if !any {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("somebody still works in {}", directory.display());
}

/// The other role of this program: serve a branch until the input ends.
fn serve_if_asked() -> bool {
    let Ok(place) = std::env::var(SERVE) else { return false };
    let place: Vec<&str> = place.lines().collect();
    let [store, mount, branch, lossy] = place[..] else { panic!("{SERVE} has four lines") };
    let mut options = Options::default();
    options.lossy = Some(if lossy == "Honest" { Lossy::Honest } else { Lossy::IgnoresFlushes });
    let store = Store::open(Path::new(store), &options).unwrap();
    let tree = Fs::open(&store, store.branch(branch).unwrap()).unwrap();
    let mut options = MountOptions::new("tine-power-cut");
    // Root's server runs as another user.
    options.allow_other = rustix::process::geteuid().is_root();
    let device = mount_at(Path::new(mount), &options).unwrap();
    let served = Mount::start(tree, device, Some(Path::new(mount)), &options).unwrap();
    println!("serving");
    let mut rest = String::new();
    std::io::stdin().read_line(&mut rest).unwrap();
    served.unmount().unwrap();
    served.join();
    store.close().unwrap();
    true
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
