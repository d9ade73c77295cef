//! A PostgreSQL server with TLS, passwords and client certificates, and callers of all kinds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::outside::{free_port, programs};
use super::{Lab, Said, is_root, said};

/// Passwords with everything in them that some grammar treats specially.
pub const APP_PASSWORD: &str = r"a'p:p\ @?%&=x";
pub const PLAIN_PASSWORD: &str = r"pl:ai\n ='pw";

/// The roles: `app` may replicate, `plain` may not, and `certified` comes with a certificate.
const ROLES: &str = r#"
create role app login superuser password 'a''p:p\ @?%&=x';
create role plain login password 'pl:ai\n =''pw';
create role certified login;
create role root login;
create database shop;
"#;

/// Who may come how: TLS is offered and never demanded, except of `certified`.
const RULES: &str = "\
local all all trust
local replication all trust
hostssl all certified 127.0.0.1/32 cert
hostnossl all certified 127.0.0.1/32 reject
host all root 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
host replication app 127.0.0.1/32 scram-sha-256
";

/// A server outside of any branch that offers TLS, stopped with the value.
pub struct Secure {
    bin: PathBuf,
    home: PathBuf,
    pub port: u16,
}

impl Secure {
    /// `None`, said by name, where the programs for it are not installed.
    pub fn start(test: &str, lab: &Lab) -> Option<Secure> {
        let Some(bin) = programs() else {
            println!("skipped: {test}: no PostgreSQL server is installed");
            return None;
        };
        if Command::new("openssl").arg("version").output().is_err() {
            println!("skipped: {test}: openssl is not installed");
            return None;
        }
        let home = lab.make_directory("secure");
        fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o711)).unwrap();
        let secure = Secure { bin, home, port: free_port() };
        secure.make_certificates(&lab.make_directory("work"));
        secure.make_cluster();
        secure.control(&["-w", "start", "-o", &format!("-p {}", secure.port)]);
        ROLES.lines().filter(|line| !line.is_empty()).for_each(|line| secure.sql(line));
        Some(secure)
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The directory of its socket.
    pub fn socket(&self) -> &Path {
        &self.home
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn make_cluster(&self) {
        give_away(&self.home);
        self.as_owner("initdb", &["-A", "trust", "-U", "postgres", "-N", "-D"]);
        let data = self.data();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n\
             ssl = on\nssl_ca_file = '{work}/ca.crt'\nssl_cert_file = '{home}/server.crt'\n\
             ssl_key_file = '{home}/server.key'\nlog_connections = on\nmax_wal_senders = 4\n",
            self.home.display(),
            work = self.home.join("../work").canonicalize().unwrap().display(),
            home = self.home.display()
        );
        self.append("postgresql.conf", &settings);
        fs::write(data.join("pg_hba.conf"), RULES).unwrap();
    }

    /// Adds to a file of the data directory.
    pub fn append(&self, file: &str, text: &str) {
        let file = self.data().join(file);
        let old = fs::read_to_string(&file).unwrap_or_default();
        fs::write(file, old + text).unwrap();
    }

    /// Puts lines before the rules of access, and waits until they hold.
    pub fn rules(&self, first: &str) {
        fs::write(self.data().join("pg_hba.conf"), first.to_owned() + RULES).unwrap();
        self.control(&["-w", "restart", "-o", &format!("-p {}", self.port)]);
    }

    pub fn restart_with(&self, options: &str) {
        self.control(&["-w", "restart", "-o", &format!("-p {} {options}", self.port)]);
    }

    /// As its superuser, through the socket.
    pub fn sql(&self, sql: &str) {
        let uri = format!(
            "postgresql://postgres@/postgres?host={}&port={}",
            self.home.display(),
            self.port
        );
        let mut psql = Command::new(self.program("psql"));
        let output = psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &uri]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn control(&self, arguments: &[&str]) {
        let log = self.home.join("log");
        let arguments: Vec<&str> = [arguments, &["-l", log.to_str().unwrap(), "-D"]].concat();
        self.as_owner("pg_ctl", &arguments);
    }

    fn as_owner(&self, program: &str, arguments: &[&str]) {
        let program = self.program(program);
        let mut command = Command::new(&program);
        if is_root() {
            command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]);
            command.arg(program);
        }
        command.args(arguments).arg(self.data()).current_dir("/").stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{arguments:?}");
    }

    /// What the log says of connections that were let in while `action` ran, without the address.
    pub fn let_in_during<T>(&self, action: impl FnOnce() -> T) -> (Vec<String>, T) {
        let log = || fs::read_to_string(self.home.join("log")).unwrap();
        let before = log().len();
        let result = action();
        let log = log();
        let lines =
            log[before..].lines().filter_map(|line| line.split_once("onnection authorized:"));
        (lines.map(|(_, line)| line.trim().to_owned()).collect(), result)
    }

    /// An authority in `work`, and what it vouches for: the server, and clients named `certified`.
    fn make_certificates(&self, work: &Path) {
        const KEY: [&str; 5] =
            ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let openssl = |arguments: &[&[&str]]| {
            let mut command = Command::new("openssl");
            let output = command.args(arguments.concat()).current_dir(work).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {words}");
        };
        for authority in ["ca", "other"] {
            let (key, crt) = (format!("{authority}.key"), format!("{authority}.crt"));
            let subject = format!("/CN=tine test {authority}");
            let out = ["-keyout", &key, "-out", &crt, "-subj", &subject, "-days", "2"];
            openssl(&[&["req", "-x509"], &KEY, &out]);
        }
        for (name, file) in [("localhost", "server"), ("certified", "client")] {
            let (key, csr, crt) =
                (format!("{file}.key"), format!("{file}.csr"), format!("{file}.crt"));
            let subject = format!("/CN={name}");
            openssl(&[&["req"], &KEY, &["-keyout", &key, "-out", &csr, "-subj", &subject]]);
            let sign = ["x509", "-req", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
            openssl(&[&sign, &["-in", &csr, "-out", &crt, "-days", "2"]]);
        }
        let locked = ["-passout", "pass:the key", "-out", "locked.key", "-in", "client.key"];
        openssl(&[&["ec", "-aes256"], &locked]);
        for file in ["server.crt", "server.key"] {
            fs::copy(work.join(file), self.home.join(file)).unwrap();
            give_away(&self.home.join(file));
        }
        for key in ["client.key", "locked.key"] {
            fs::set_permissions(work.join(key), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::set_permissions(work.join("ca.crt"), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.control(&["-m", "immediate", "stop"]);
    }
}

fn give_away(path: &Path) {
    if is_root() {
        let status = Command::new("chown").arg("postgres:postgres").arg(path).status();
        assert!(status.unwrap().success());
    }
}

/// A person at a terminal: a home directory that only this user can enter, a current directory with
/// certificates in it, and an environment.
pub struct Person {
    pub home: PathBuf,
    pub work: PathBuf,
    environment: Vec<(String, String)>,
}

impl Person {
    pub fn new(lab: &Lab, name: &str) -> Person {
        let home = lab.make_directory(&format!("home-{name}"));
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        Person { home, work: lab.make_directory("work"), environment: Vec::new() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Person {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Writes a file of the home directory that only its owner may read.
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Person {
        self.file_of_mode(name, text, 0o600)
    }

    pub fn file_of_mode(self, name: &str, text: impl AsRef<[u8]>, mode: u32) -> Person {
        let path = self.home.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// A copy of a file of `work` in the home directory.
    pub fn copy(self, from: &str, to: &str) -> Person {
        let text = fs::read(self.work.join(from)).unwrap();
        self.file(to, text)
    }

    /// Has a command feel at home here, with nothing else in its environment.
    pub fn runs(&self, mut command: Command) -> Said {
        let given: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command.env_clear().envs(given).current_dir(&self.work).env("HOME", &self.home);
        for carried in ["PATH", "XDG_RUNTIME_DIR", "TMPDIR"] {
            if let Some(value) = std::env::var_os(carried) {
                command.env(carried, value);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        said(command.stdin(Stdio::null()).output().unwrap())
    }
}
