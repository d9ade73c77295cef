//! Real servers on plain directories: what a fork of a running one must do and must not do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tine_service::postgres::{Backup, Cluster, Installation, Launch, Server, Source, live_server};
use tine_service::{Code, Hint, Progress, Result};

/// A directory in which everything of one test lives; servers end with it.
struct Lab {
    directory: tempfile::TempDir,
    installation: Installation,
    servers: Vec<Server>,
}

impl Lab {
    /// `None`, said by name, where the server's programs are not installed.
    fn new(test: &str) -> Option<Self> {
        Self::of_each_version(test).into_iter().next()
    }

    /// One for every installed version, the newest first; none, said by name, where there is no
    /// version.
    fn of_each_version(test: &str) -> Vec<Self> {
        let installed = Installation::all();
        if installed.is_empty() {
            println!("skipped: {test}: PostgreSQL is not installed");
        }
        installed.into_iter().map(Self::of).collect()
    }

    fn of(installation: Installation) -> Self {
        let directory = tempfile::Builder::new().prefix("tine-pg").tempdir().unwrap();
        if is_root() {
            run(Command::new("chmod").arg("755").arg(directory.path()));
        }
        Self { directory, installation, servers: Vec::new() }
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
        self.make_cluster_with(name, &[])
    }

    fn make_cluster_with(&self, name: &str, options: &[&str]) -> Cluster {
        let directory = self.make_directory(name);
        run(self
            .command("initdb")
            .args(["-N", "-U", "owner", "-A", "trust", "-D"])
            .arg(&directory)
            .args(options));
        Cluster::open(&directory).unwrap()
    }

    /// A directory of the user that owns the clusters.
    fn make_directory(&self, name: &str) -> PathBuf {
        let directory = self.path(name);
        fs::create_dir(&directory).unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres:postgres").arg(&directory));
        }
        directory
    }

    /// Everything that can be seen of what lies there: kinds, owners, modes, times, links and
    /// content.
    fn picture(&self, name: &str) -> String {
        let root = self.path(name);
        let list = "%P %y %m %U %G %s %T@ %C@ %l\\n";
        let script = format!(
            "cd {root} && find . -printf '{list}' | sort && find . -type f -print0 | sort -z | xargs -0 -r sha256sum",
            root = root.display()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn refused(&self, cluster: &Cluster, identity: &str) -> String {
        let launch = Launch {
            cluster,
            identity,
            label: identity,
            runtime: &self.path(&format!("run-{identity}")),
            port: None,
            patience: Duration::from_secs(60),
        };
        let error = launch.start().unwrap_err();
        assert_eq!((error.code, error.hint.is_some()), (Code::Unsupported, true), "{error}");
        error.message
    }

    fn add_settings(&self, cluster: &Cluster, settings: &str) {
        let conf = cluster.directory.join("postgresql.conf");
        let old = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, format!("{old}\n{settings}\n")).unwrap();
    }

    /// A copy of a directory that no process writes to, its pid file included.
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

/// A server as people have one, on a socket alone, that ends with the value.
struct Outside {
    process: std::process::Child,
    uri: String,
    log: PathBuf,
}

impl Outside {
    fn start(lab: &Lab, cluster: &Cluster, name: &str, options: &[&str]) -> Self {
        let sockets = lab.path(&format!("sockets-{name}"));
        if !sockets.exists() {
            lab.make_directory(&format!("sockets-{name}"));
        }
        let log = lab.path(&format!("log-{name}"));
        let mut command = lab.command("postgres");
        command.arg("-D").arg(&cluster.directory).arg("-k").arg(&sockets);
        command.args(["-h", "", "-p", "5432"]).args(options);
        let file = fs::File::options().append(true).create(true).open(&log).unwrap();
        let mut process = command.stderr(file).spawn().unwrap();
        let host = sockets.display().to_string().replace('/', "%2F");
        let uri = format!("postgresql://owner@/postgres?host={host}&port=5432");
        while !lab.psql(&uri, "select 1").status.success() {
            let log = || fs::read_to_string(&log).unwrap();
            assert!(process.try_wait().unwrap().is_none(), "it did not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { process, uri, log }
    }

    fn ask(&self, lab: &Lab, query: &str) -> String {
        let output = lab.psql(&self.uri, query);
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn wait_for(&self, lab: &Lab, query: &str, expected: &str) {
        let begun = std::time::Instant::now();
        while self.ask(lab, query) != expected {
            assert!(begun.elapsed() < Duration::from_secs(60), "{query} is not {expected}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn connections(&self) -> usize {
        fs::read_to_string(&self.log).unwrap().matches("connection received").count()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        run(Command::new("kill").args(["-INT", &self.process.id().to_string()]));
        self.process.wait().unwrap();
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

fn base_backup(uri: &str, destination: &Path, progress: &Progress) -> Result<Backup> {
    Source::of_caller(uri)?.reach()?.copy_into(destination, progress)
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
         restore_command = 'false'\nport = 1\nfsync = off\nfull_page_writes = off\nexternal_pid_file = '{}/pid'\ndata_directory = '/nowhere'\n",
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
    assert_eq!(setting(&lab, &server, "fsync"), "on");
    assert_eq!(setting(&lab, &server, "full_page_writes"), "on");
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
    assert!(error.message.contains("is taken by another program"), "{error}");
    assert!(error.message.contains(&running.port.to_string()), "{error}");
    assert_eq!(error.hint, Some(Hint::NamePort));
    // A port that was not to be had is not remembered.
    let launch = Launch { port: None, ..port_taken };
    let another = launch.start().unwrap();
    assert_ne!(another.port, running.port);
    another.stop().unwrap();
    // Inside of a container every port may be for everyone.
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() > 1 {
        let refused = Launch { port: Some(1), ..launch }.start().unwrap_err();
        assert!(refused.hint_text().contains("root alone"), "{refused:?}");
    }
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
    assert!(error.hint_text().contains("psql"));
    assert!(!lab.path("x").exists(), "nothing is made before the server answered");
}

#[test]
fn a_directory_that_leads_to_its_original_is_refused_and_the_original_stays_as_it_was() {
    let Some(lab) = Lab::new("links to the original") else { return };
    let wal = lab.make_directory("wal");
    let source = lab.make_cluster_with("source", &["-X", wal.to_str().unwrap()]);
    lab.make_directory("far");
    let before = (lab.picture("source"), lab.picture("wal"), lab.picture("far"));

    let fork = lab.copy(&source, "fork");
    let message = lab.refused(&fork, "fork");
    assert!(message.contains("pg_wal") && message.contains(wal.to_str().unwrap()), "{message}");

    // Its log within, each other part of it in the original's place.
    let data = fork.directory.clone();
    fs::remove_file(data.join("pg_wal")).unwrap();
    run(Command::new("cp").arg("-a").arg(&wal).arg(data.join("pg_wal")));
    for part in ["global", "base/1", "pg_xact", "pg_multixact/members", "postgresql.auto.conf"] {
        let inner = data.join(part);
        let aside = lab.path("aside");
        fs::rename(&inner, &aside).unwrap();
        std::os::unix::fs::symlink(source.directory.join(part), &inner).unwrap();
        let message = lab.refused(&fork, "fork");
        assert!(message.contains(part), "{part}: {message}");
        fs::remove_file(&inner).unwrap();
        fs::rename(&aside, &inner).unwrap();
    }
    fs::write(data.join("tablespace_map"), format!("16384 {}\n", lab.path("far").display()))
        .unwrap();
    assert!(lab.refused(&fork, "fork").contains("16384"));
    fs::remove_file(data.join("tablespace_map")).unwrap();

    // What is refused has not been touched, and starts once it leads nowhere.
    let mut lab = lab;
    let server = lab.start(&fork, "fork");
    lab.ask(&server, "create table t as select generate_series(1, 1000) n; checkpoint");
    server.stop().unwrap();
    assert_eq!(before, (lab.picture("source"), lab.picture("wal"), lab.picture("far")));
}

#[test]
fn settings_that_name_places_of_the_original_leave_them_alone() {
    let labs = Lab::of_each_version("places of the original");
    for mut lab in labs {
        let version = lab.installation.version.clone();
        let source = lab.make_cluster("source");
        let far = lab.make_directory("far");
        let place = |name: &str| far.join(name).display().to_string();
        for name in ["log", "stats", "sockets", "archive"] {
            lab.make_directory(&format!("far/{name}"));
        }
        let mut settings = format!(
            "external_pid_file = '{}'\nlog_directory = '{}'\nlogging_collector = on\n\
             unix_socket_directories = '{}'\nhba_file = '{}'\nident_file = '{}'\narchive_mode = on\n\
             archive_command = 'touch {}'\narchive_cleanup_command = 'touch {}'\n\
             recovery_end_command = 'touch {}'\nrestore_command = 'touch {}'\n\
             ssl = on\nssl_passphrase_command = 'touch {}'\nssl_cert_file = '{}'\n\
             unix_socket_group = 'no_such_group'\nlog_destination = 'stderr,csvlog,syslog'\n",
            place("pid"),
            place("log"),
            place("sockets"),
            place("hba"),
            place("ident"),
            place("archive/a"),
            place("archive/b"),
            place("archive/c"),
            place("archive/d"),
            place("archive/e"),
            place("cert")
        );
        if version.parse::<u32>().unwrap() < 15 {
            settings.push_str(&format!("stats_temp_directory = '{}'\n", place("stats")));
        }
        lab.add_settings(&source, &settings);
        fs::write(source.directory.join("recovery.signal"), "").unwrap();
        let before = lab.picture("far");
        let server = lab.start(&source, "fork");
        lab.ask(&server, "create table t as select generate_series(1, 1000) n");
        lab.ask(&server, "select pg_switch_wal()");
        lab.ask(&server, "checkpoint");
        server.stop().unwrap();
        assert_eq!(before, lab.picture("far"), "PostgreSQL {version}");
    }
}

#[test]
fn a_fork_of_a_server_that_waits_for_others_does_not_wait() {
    for mut lab in Lab::of_each_version("a fork does not wait") {
        let version: u32 = lab.installation.version.parse().unwrap();
        let source = lab.make_cluster("source");
        let mut settings = "synchronous_standby_names = 'FIRST 2 (s1, s2)'\n\
             synchronous_commit = remote_apply\nprimary_slot_name = 'x'\nwal_level = logical\n"
            .to_owned();
        if version >= 17 {
            settings.push_str("synchronized_standby_slots = 'x'\nsync_replication_slots = on\n");
        }
        lab.add_settings(&source, &settings);
        // What `ALTER SYSTEM` wrote comes last.
        fs::write(
            source.directory.join("postgresql.auto.conf"),
            "synchronous_standby_names = '*'\n",
        )
        .unwrap();
        let server = lab.start(&source, "fork");
        for name in ["synchronous_standby_names", "primary_slot_name"] {
            assert_eq!(setting(&lab, &server, name), "", "{version}: {name}");
        }
        if version >= 17 {
            assert_eq!(setting(&lab, &server, "synchronized_standby_slots"), "");
            assert_eq!(setting(&lab, &server, "sync_replication_slots"), "off");
        }
        lab.ask(&server, "alter role owner set synchronous_commit = remote_write");
        lab.ask(&server, "create table t as select generate_series(1, 10) n");
        server.stop().unwrap();
    }
}

#[test]
fn every_parameter_of_every_installed_version_is_classified() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/parameters.txt");
    let table = fs::read_to_string(file).unwrap();
    for mut lab in Lab::of_each_version("every parameter is classified") {
        let version: u32 = lab.installation.version.parse().unwrap();
        let described =
            Command::new(lab.installation.program("postgres")).arg("--describe-config").output();
        let described = String::from_utf8(described.unwrap().stdout).unwrap();
        let source = lab.make_cluster("source");
        let server = lab.start(&source, "fork");
        let shown = lab.ask(&server, "select name from pg_settings where name not like '%.%'");
        let mut names: Vec<&str> = described
            .lines()
            .filter_map(|line| line.split('\t').next())
            .chain(shown.lines())
            .collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() > 300, "{version}: {}", names.len());

        let rows: Vec<Vec<&str>> = table
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().collect())
            .collect();
        let of_version = |row: &&Vec<&str>| {
            let (first, last) = row[1].split_once('-').unwrap();
            first.parse::<u32>().unwrap() <= version
                && last.parse::<u32>().is_ok_and(|last| version <= last) | last.is_empty()
        };
        let rows: Vec<&Vec<&str>> = rows.iter().filter(of_version).collect();
        let unknown: Vec<_> =
            names.iter().filter(|name| !rows.iter().any(|row| row[0] == **name)).collect();
        assert!(
            unknown.is_empty(),
            "PostgreSQL {version} has parameters that no class is given: {unknown:?}"
        );
        for row in rows.iter().filter(|row| matches!(row[2], "forced" | "own")) {
            assert!(names.contains(&row[0]), "PostgreSQL {version} has no {}", row[0]);
        }
        for row in rows.iter().filter(|row| row[2] == "forced") {
            let value = row.get(3).copied().unwrap_or_default();
            let is = setting(&lab, &server, row[0]).replace("(disabled)", "");
            assert_eq!(
                is.trim_start_matches('0'),
                value.trim_start_matches('0'),
                "{version}: {}",
                row[0]
            );
        }
        server.stop().unwrap();
    }
}

#[test]
fn settings_that_are_elsewhere_come_along_letter_by_letter_or_are_missed_by_name() {
    let Some(mut lab) = Lab::new("settings elsewhere") else { return };
    let source = lab.make_cluster("source");
    let etc = lab.make_directory("etc");
    let conf = etc.join("postgresql.conf");
    fs::rename(source.directory.join("postgresql.conf"), &conf).unwrap();
    fs::write(etc.join("more.conf"), "maintenance_work_mem = 7MB\n").unwrap();
    let settings = r#"
log_line_prefix = 'C:\\x it''s "%m"\n'
my.text = 'two\nlines'
My.Text = 'Ünlaut ''s\\\\'
my.other = on
my.command = 'of a file'
shared_preload_libraries = 'auto_explain'
archive_command = 'cp %p /archive/%f'
include 'more.conf'
"#;
    fs::write(&conf, fs::read_to_string(&conf).unwrap() + settings).unwrap();
    // What `ALTER SYSTEM` wrote is in the directory, and loses against the command line.
    fs::write(
        source.directory.join("postgresql.auto.conf"),
        "my.auto = 'auto'\nwork_mem = '9MB'\nmy.command = 'of auto'\n",
    )
    .unwrap();
    let config_file = format!("config_file={}", conf.display());
    let options =
        ["-c", &config_file, "-c", "work_mem=5MB", "--my.command=two words", "-c", "my.last=1"];
    let outside = Outside::start(&lab, &source, "source", &options);
    outside.ask(&lab, "create role rep replication login");
    outside.ask(&lab, "create role reader replication login in role pg_read_all_settings");

    let import = |role: &str, name: &str| {
        let uri = outside.uri.replace("owner@", &format!("{role}@"));
        base_backup(&uri, &lab.path(name), &Progress::default())
    };
    let taken = import("owner", "taken").unwrap();
    assert_eq!(taken.warnings, Vec::<String>::new());
    let other = import("rep", "x");
    let warnings = import("reader", "partly").unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("pg_file_settings"), "{warnings:?}");
    drop(outside);
    let refused = other.unwrap_err();
    assert!(refused.hint_text().contains("pg_read_all_settings"), "{}", refused.message);

    let taken = Cluster::open(&lab.path("taken")).unwrap();
    let server = lab.start(&taken, "taken");
    for (name, value) in [
        ("log_line_prefix", "C:\\x it's \"%m\""),
        ("my.text", "Ünlaut 's\\\\"),
        ("my.other", "on"),
        ("my.auto", "auto"),
        ("my.command", "two words"),
        ("my.last", "1"),
        ("shared_preload_libraries", "auto_explain"),
        ("maintenance_work_mem", "7MB"),
        ("work_mem", "5MB"),
        ("archive_command", "(disabled)"),
    ] {
        assert_eq!(setting(&lab, &server, name), value, "{name}");
    }

    // The same directory, imported as files: no configuration is made up.
    let bare = lab.copy(&source, "bare");
    let message = lab.refused(&bare, "bare");
    assert!(message.contains(&conf.display().to_string()), "{message}");
}

/// A change at a server whose settings say that nothing is changed.
fn write(lab: &Lab, uri: &str, query: &str) {
    let output = lab.psql(&format!("{uri}&options=-cdefault_transaction_read_only%3Doff"), query);
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_forks_subscriptions_are_dropped_without_a_word_to_the_publisher() {
    let Some(mut lab) = Lab::new("subscriptions of a fork") else { return };
    let (origin, source) = (lab.make_cluster("origin"), lab.make_cluster("source"));
    lab.add_settings(&origin, "wal_level = logical\nlog_connections = on");
    lab.add_settings(&source, "default_transaction_read_only = on\nsynchronous_commit = off");
    let publisher = Outside::start(&lab, &origin, "origin", &[]);
    let subscriber = Outside::start(&lab, &source, "source", &[]);
    for table in ["t", "clash"] {
        publisher.ask(&lab, &format!("create table {table} (n int primary key)"));
        publisher.ask(&lab, &format!("insert into {table} values (1)"));
        publisher.ask(&lab, &format!("create publication of_{table} for table {table}"));
        write(&lab, &subscriber.uri, &format!("create table {table} (n int primary key)"));
    }
    // The copy of this one never ends: its slot of the table stays in addition to that of the
    // subscription.
    write(&lab, &subscriber.uri, "insert into clash values (1)");
    let host = lab.path("sockets-origin");
    for table in ["t", "clash"] {
        let query = format!(
            "create subscription \"My {table}\" connection 'host={} port=5432 user=owner dbname=postgres' \
             publication of_{table} with (slot_name = slot_{table})",
            host.display()
        );
        write(&lab, &subscriber.uri, &query);
    }
    subscriber.wait_for(&lab, "select n from t", "1");
    base_backup(&subscriber.uri, &lab.path("taken"), &Progress::default()).unwrap();
    // So that nothing but the fork could speak with the publisher, and no slot is in use.
    drop(subscriber);
    let in_use = "select count(*) from pg_stat_replication";
    publisher.wait_for(&lab, in_use, "0");
    let slots =
        "select count(*) from pg_replication_slots where slot_name in ('slot_t', 'slot_clash')";
    assert_eq!(publisher.ask(&lab, slots), "2");
    let before = publisher.connections();

    let taken = Cluster::open(&lab.path("taken")).unwrap();
    let fork = lab.start(&taken, "fork");
    let state = "select string_agg(subname || ' ' || subenabled || ' ' || coalesce(subslotname, 'none'), ',' \
                 order by subname) from pg_subscription";
    assert_eq!(lab.ask(&fork, state), "My clash false none,My t false none");
    for table in ["t", "clash"] {
        write(&lab, &fork.uri, &format!("drop subscription \"My {table}\""));
    }
    assert_eq!(publisher.connections(), before, "the fork spoke with the publisher");
    // What the branch subscribes to by itself stays as it is.
    let own = "create subscription own connection 'host=/nowhere' publication p \
               with (connect = false, slot_name = 'own')";
    write(&lab, &fork.uri, own);
    write(&lab, &fork.uri, r#"create database "host=x 'y\""#);
    let odd = fork.uri.replace("/postgres?", "/host%3Dx%20%27y%5C?");
    write(&lab, &odd, &own.replace("own", "odd"));
    fork.stop().unwrap();
    let fork = lab.start(&taken, "fork");
    assert_eq!(lab.ask(&fork, state), "odd false odd,own false own");
    fork.stop().unwrap();
    // A start that was killed before its server had done its part is finished by the next.
    fs::write(taken.directory.join("tine.branch"), "fork\nunfinished\n").unwrap();
    let fork = lab.start(&taken, "fork");
    assert_eq!(lab.ask(&fork, state), "odd false none,own false none");

    assert_eq!(publisher.connections(), before, "the fork spoke with the publisher");
    assert_eq!(publisher.ask(&lab, slots), "2");
    publisher.ask(&lab, "insert into t values (2)");
    let subscriber = Outside::start(&lab, &source, "source", &[]);
    subscriber.wait_for(&lab, "select count(*) from t", "2");
    drop(subscriber);
}

#[test]
fn a_fork_whose_subscriptions_cannot_be_cut_off_does_not_start() {
    let Some(lab) = Lab::new("subscriptions that stay") else { return };
    let source = lab.make_cluster("source");
    let outside = Outside::start(&lab, &source, "source", &[]);
    outside.ask(
        &lab,
        "create subscription s connection 'host=/nowhere' publication p with (connect = false)",
    );
    outside.ask(&lab, "create role boss superuser; alter role owner nologin; checkpoint");
    drop(outside);
    let message = lab.refused(&source, "fork");
    assert!(message.contains("subscriptions") && message.contains("superuser"), "{message}");
    assert_eq!(live_server(&source.directory), None);
}
