//! Real servers on plain directories: what a fork of a running one must do and must not do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tine_service::postgres::{Cluster, Installation, Launch, Server, base_backup, live_server};
use tine_service::{Code, Progress};

/// A directory in which everything of one test lives; servers end with it.
struct Lab {
    directory: tempfile::TempDir,
    installation: Installation,
    servers: Vec<Server>,
}

impl Lab {
    /// `None`, said by name, where the server's programs are not installed.
    fn new(test: &str) -> Option<Self> {
        let Some(installation) = Installation::all().into_iter().next() else {
            println!("skipped: {test}: PostgreSQL is not installed");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("tine-pg").tempdir().unwrap();
        if is_root() {
            run(Command::new("chmod").arg("755").arg(directory.path()));
        }
        Some(Self { directory, installation, servers: Vec::new() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command as the user that owns the clusters: root hands over to `postgres`.
    fn command(&self, program: &str) -> Command {
        let program = self.installation.program(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command.current_dir("/");
        command
    }

    fn make_cluster(&self, name: &str) -> Cluster {
        let directory = self.path(name);
        fs::create_dir(&directory).unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&directory));
        }
        run(self
            .command("initdb")
            .args(["-N", "-U", "owner", "-A", "trust", "-D"])
            .arg(&directory));
        Cluster::open(&directory).unwrap()
    }

    /// A copy of a directory that nobody writes to, its pid file included.
    fn copy(&self, cluster: &Cluster, name: &str) -> Cluster {
        let target = self.path(name);
        run(Command::new("cp").arg("-a").arg(&cluster.directory).arg(&target));
        Cluster::open(&target).unwrap()
    }

    fn start(&mut self, cluster: &Cluster, identity: &str) -> Server {
        let runtime = self.path(&format!("run-{identity}"));
        let launch = Launch {
            cluster,
            identity,
            label: identity,
            runtime: &runtime,
            port: None,
            patience: Duration::from_secs(60),
        };
        let server = launch.start().unwrap_or_else(|error| panic!("{error} {:?}", error.hint));
        self.servers.push(server.clone());
        server
    }

    fn psql(&self, uri: &str, query: &str) -> Output {
        let mut psql = self.command("psql");
        psql.args(["-X", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d", uri, "-c", query])
            .output()
            .unwrap()
    }

    fn ask(&self, server: &Server, query: &str) -> String {
        let output = self.psql(&server.uri, query);
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for server in &self.servers {
            if let Err(error) = server.stop() {
                eprintln!("a server stays behind: {error}");
            }
        }
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn setting(lab: &Lab, server: &Server, name: &str) -> String {
    lab.ask(server, &format!("show {name}"))
}

#[test]
fn a_copy_of_a_killed_server_recovers_and_serves_beside_its_restarted_source() {
    let Some(mut lab) = Lab::new("a copy of a killed server") else { return };
    let source = lab.make_cluster("source");
    let first = lab.start(&source, "source");
    lab.ask(&first, "create table t as select generate_series(1, 1000) n");
    let pid = rustix::process::Pid::from_raw(first.pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    while first.is_alive() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let fork = lab.copy(&source, "fork");

    let again = lab.start(&source, "source");
    let forked = lab.start(&fork, "fork");
    assert_ne!(again.port, forked.port);
    assert_eq!(lab.ask(&forked, "select sum(n) from t"), "500500");
    lab.ask(&forked, "drop table t");
    assert_eq!(lab.ask(&again, "select count(*) from t"), "1000");
    assert_eq!(live_server(&fork.directory), Some(forked.pid));
    forked.stop().unwrap();
    assert!(!forked.is_alive() && again.is_alive());
}

#[test]
fn a_fork_neither_archives_nor_follows_nor_subscribes() {
    let Some(mut lab) = Lab::new("a fork keeps to itself") else { return };
    let source = lab.make_cluster("source");
    let archive = lab.path("archive");
    fs::create_dir(&archive).unwrap();
    run(Command::new("chmod").arg("777").arg(&archive));
    let settings = format!(
        "archive_mode = on\narchive_command = 'cp %p {}/%f'\nprimary_conninfo = 'host=127.0.0.1 port=1'\n\
         restore_command = 'false'\nport = 1\nexternal_pid_file = '{}/pid'\ndata_directory = '/nowhere'\n",
        archive.display(),
        archive.display()
    );
    let conf = source.directory.join("postgresql.conf");
    let old = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, old + &settings).unwrap();
    fs::write(source.directory.join("standby.signal"), "").unwrap();

    let server = lab.start(&source, "fork");
    lab.ask(&server, "create table t (n int)");
    lab.ask(&server, "select pg_switch_wal()");
    assert_eq!(setting(&lab, &server, "archive_mode"), "off");
    assert_eq!(setting(&lab, &server, "max_logical_replication_workers"), "0");
    assert_eq!(setting(&lab, &server, "primary_conninfo"), "");
    assert_eq!(setting(&lab, &server, "listen_addresses"), "127.0.0.1");
    assert_eq!(lab.ask(&server, "select pg_is_in_recovery()"), "f");
    assert_eq!(
        fs::read_dir(&archive).unwrap().count(),
        0,
        "something was written for the original"
    );
}

#[test]
fn a_server_that_cannot_start_says_why_in_its_own_words() {
    let Some(mut lab) = Lab::new("a server that cannot start") else { return };
    let cluster = lab.make_cluster("source");
    let conf = cluster.directory.join("postgresql.conf");
    let old = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, old + "shared_preload_libraries = 'no_such_library'\n").unwrap();
    let runtime = lab.path("run");
    let launch = Launch {
        cluster: &cluster,
        identity: "1",
        label: "x",
        runtime: &runtime,
        port: None,
        patience: Duration::from_secs(20),
    };
    let error = launch.start().unwrap_err();
    assert!(error.message.contains("no_such_library"), "{error}");
    assert_eq!(live_server(&cluster.directory), None);

    fs::write(&conf, "").unwrap();
    let running = lab.start(&cluster, "1");
    assert_eq!(launch.start().unwrap_err().code, Code::BranchBusy);
    let port_taken =
        Launch { port: Some(running.port), cluster: &lab.make_cluster("second"), ..launch };
    let error = port_taken.start().unwrap_err();
    assert!(error.message.contains("Address already in use"), "{error}");
}

#[test]
fn only_the_directorys_owner_gets_through_the_socket_and_tcp_wants_a_password() {
    let Some(mut lab) = Lab::new("who may connect") else { return };
    let cluster = lab.make_cluster("source");
    let server = lab.start(&cluster, "1");
    use std::os::unix::fs::PermissionsExt;
    let runtime = lab.path("run-1");
    assert_eq!(fs::metadata(&runtime).unwrap().permissions().mode() & 0o777, 0o700);
    let tcp = format!("postgresql://owner@127.0.0.1:{}/postgres", server.port);
    assert!(!lab.psql(&tcp, "select 1").status.success());
    lab.ask(&server, "alter role owner password 'secret'");
    let tcp = format!("postgresql://owner:secret@127.0.0.1:{}/postgres", server.port);
    assert!(lab.psql(&tcp, "select 1").status.success());
}

#[test]
fn a_running_servers_data_comes_in_with_its_tablespaces_and_outside_settings() {
    let Some(mut lab) = Lab::new("base backup") else { return };
    let source = lab.make_cluster("source");
    let space = lab.path("space");
    fs::create_dir(&space).unwrap();
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(&space));
    }
    let server = lab.start(&source, "source");
    lab.ask(&server, &format!("create tablespace far location '{}'", space.display()));
    lab.ask(&server, "create table t tablespace far as select generate_series(1, 50000) n");
    lab.ask(&server, "alter role owner password 'p@ss'");
    // Replication over the socket; the rules of a started server speak of databases only.
    let rules = lab.path("run-source").join("pg_hba.conf");
    let uri = server.uri.clone();
    assert!(
        uri.starts_with("postgresql://owner@/"),
        "the role that made the cluster is found: {uri}"
    );

    let refused = base_backup(&uri, &lab.path("refused"), &Progress::default()).unwrap_err();
    assert_eq!(refused.code, Code::NotPermitted, "{refused}");
    fs::write(&rules, fs::read_to_string(&rules).unwrap() + "local replication all trust\n")
        .unwrap();
    lab.ask(&server, "select pg_reload_conf()");
    std::thread::sleep(Duration::from_millis(300));

    let progress = Progress::default();
    let backup = base_backup(&uri, &lab.path("taken"), &progress).unwrap();
    assert!(backup.bytes > 10_000_000 && progress.step().bytes == backup.bytes, "{backup:?}");
    lab.ask(&server, "drop table t");

    let taken = Cluster::open(&lab.path("taken")).unwrap();
    let copy = lab.start(&taken, "taken");
    assert_eq!(lab.ask(&copy, "select count(*) from t"), "50000");
    assert!(
        taken
            .directory
            .join("pg_tblspc")
            .read_dir()
            .unwrap()
            .all(|entry| entry.unwrap().path().is_dir())
    );

    let cancelled = Progress::default();
    cancelled.cancel();
    let error = base_backup(&uri, &lab.path("cancelled"), &cancelled).unwrap_err();
    assert_eq!(error.code, Code::Interrupted);
}

#[test]
fn a_server_that_is_not_there_is_an_error_with_advice() {
    let Some(lab) = Lab::new("no server there") else { return };
    let nowhere = "postgresql://someone@127.0.0.1:1/postgres";
    let error = base_backup(nowhere, Path::new(&lab.path("x")), &Progress::default()).unwrap_err();
    assert_eq!(error.code, Code::Io);
    assert!(error.hint.unwrap().contains("psql"));
    assert!(!lab.path("x").exists(), "nothing is made before the server answered");
}
