//! A PostgreSQL server outside of any branch, as people have one, and clients of servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Lab, can_mount, is_root};

/// The sums that every TPC-B transaction keeps equal.
pub const BALANCED: &str = "select (select sum(abalance) from pgbench_accounts) = \
    (select sum(bbalance) from pgbench_branches) and (select sum(delta) from pgbench_history) = \
    (select sum(bbalance) from pgbench_branches)";

/// The programs of the installed server, if there is one.
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists())
}

/// A lab, and the programs of the installed server. Says by name what is not run where there are
/// none, or where nothing can be mounted.
pub fn with_programs(test: &str) -> Option<(Lab, PathBuf)> {
    let Some(bin) = programs() else {
        println!("skipped: {test}: no PostgreSQL server is installed");
        return None;
    };
    can_mount(test).then(|| (Lab::new(), bin))
}

/// A server outside of any branch, stopped with the value.
pub struct Outside {
    bin: PathBuf,
    pub data: PathBuf,
    port: u16,
}

impl Outside {
    pub fn start(bin: PathBuf, lab: &Lab) -> Outside {
        let home = home(lab);
        let data = home.join("data");
        let port = free_port();
        let outside = Outside { bin, data, port };
        outside.run("initdb", &["-A", "trust", "-U", "postgres", "-N", "-D"], true);
        let options = format!("-p {port} -k {}", home.display());
        let log = home.join("log");
        let log = log.to_str().unwrap();
        outside.run("pg_ctl", &["-w", "-o", &options, "-l", log, "start", "-D"], true);
        outside
    }

    fn run(&self, program: &str, arguments: &[&str], must: bool) {
        let out = if must { Stdio::piped() } else { Stdio::null() };
        let mut command = as_owner(&self.bin.join(program));
        command.args(arguments).arg(&self.data).stdout(Stdio::null()).stderr(out);
        let status = command.status().unwrap();
        assert!(!must || status.success(), "{arguments:?}");
    }

    pub fn uri(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-m", "immediate", "stop", "-D"], false);
    }
}

/// A cluster that no server runs on, with its write-ahead log elsewhere.
pub struct Stopped {
    home: PathBuf,
    pub data: PathBuf,
    pub wal: PathBuf,
}

impl Stopped {
    pub fn make(bin: &Path, lab: &Lab) -> Stopped {
        let home = home(lab);
        let (data, wal) = (home.join("data"), home.join("wal"));
        let mut initdb = as_owner(&bin.join("initdb"));
        initdb.args(["-A", "trust", "-U", "postgres", "-N", "-D"]).arg(&data).arg("-X").arg(&wal);
        assert!(initdb.stdout(Stdio::null()).status().unwrap().success());
        Stopped { home, data, wal }
    }

    /// Puts the log into the data directory.
    pub fn bring_wal_in(&self) {
        let link = self.data.join("pg_wal");
        fs::remove_file(&link).unwrap();
        fs::rename(&self.wal, &link).unwrap();
    }

    /// Everything that can be seen of it: kinds, owners, modes, times, links and content.
    pub fn picture(&self) -> String {
        let script = "find . -printf '%P %y %m %U %G %s %T@ %C@ %l\\n' | sort && \
                      find . -type f -print0 | sort -z | xargs -0 sha256sum";
        let output =
            Command::new("sh").args(["-c", script]).current_dir(&self.home).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A directory for clusters, which belong to an ordinary user.
fn home(lab: &Lab) -> PathBuf {
    let home = lab.make_directory("outside");
    if is_root() {
        // The server runs as another user, who has to pass through.
        open_to_all(&lab.path(""));
        assert!(Command::new("chown").arg("postgres").arg(&home).status().unwrap().success());
    }
    home
}

/// A command as the user that owns the clusters.
fn as_owner(program: &Path) -> Command {
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]);
            command.arg(program);
            command
        }
        false => Command::new(program),
    };
    command.current_dir("/");
    command
}

fn open_to_all(directory: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    fs::set_permissions(directory, mode).unwrap();
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn query(uri: &str, sql: &str) -> String {
    let output = Command::new("psql").args(["-XAtq", "-c", sql, uri]).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn pgbench(bin: &Path, uri: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(bin.join("pgbench"));
    command.args(arguments).arg(uri).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}
