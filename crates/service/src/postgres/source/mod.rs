//! The way to another server, as the caller's own `psql` would take it.
//!
//! The programs that copy may run as another user (root is never the one that unpacks what a server
//! sends). Such a program has that user's home and none of the caller's environment. So everything
//! that libpq would look up is looked up here, as the caller: the parameters, the environment,
//! services, the password file, certificates. What was found is handed over: parameters that all
//! users may see as an argument, secrets in the program's environment or in files in memory.

mod caller;
mod conninfo;
mod handed;
mod passwords;
mod services;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

pub use self::conninfo::secrets;

use self::caller::Caller;
use self::conninfo::Parameters;
use self::handed::Handed;
use self::passwords::{PasswordFile, Place};
use super::account::Account;
use super::installation::Installation;
use crate::protocol::{Code, Error, Result};

/// The variables that libpq reads for parameters that are not given, but for those of services and
/// files.
const VARIABLES: [&str; 28] = [
    "PGAPPNAME",
    "PGCHANNELBINDING",
    "PGCONNECT_TIMEOUT",
    "PGDATABASE",
    "PGGSSDELEGATION",
    "PGGSSENCMODE",
    "PGGSSLIB",
    "PGHOST",
    "PGHOSTADDR",
    "PGKRBSRVNAME",
    "PGLOADBALANCEHOSTS",
    "PGMAXPROTOCOLVERSION",
    "PGMINPROTOCOLVERSION",
    "PGOPTIONS",
    "PGPASSWORD",
    "PGPORT",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSSLCERTMODE",
    "PGSSLCOMPRESSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGSSLSNI",
    "PGTARGETSESSIONATTRS",
    "PGUSER",
];

/// Variables of the libraries under libpq: whom to trust, and for the same user its tickets.
const TRUST: [&str; 3] = ["KRB5_CONFIG", "SSL_CERT_DIR", "SSL_CERT_FILE"];
const TICKETS: [&str; 2] = ["KRB5CCNAME", "KRB5_CLIENT_KTNAME"];

/// A file that a connection may need.
struct Needed {
    keyword: &'static str,
    variable: &'static str,
    /// Where it is looked for unless it is named, below the home directory.
    usual: Option<&'static str>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Key,
    /// Nothing is copied: lists of revoked certificates are for everyone to see.
    Directory,
}

const NEEDED: [Needed; 5] = [
    needed("sslcert", "PGSSLCERT", Some(".postgresql/postgresql.crt"), Kind::File),
    needed("sslkey", "PGSSLKEY", Some(".postgresql/postgresql.key"), Kind::Key),
    needed("sslrootcert", "PGSSLROOTCERT", Some(".postgresql/root.crt"), Kind::File),
    needed("sslcrl", "PGSSLCRL", Some(".postgresql/root.crl"), Kind::File),
    needed("sslcrldir", "PGSSLCRLDIR", None, Kind::Directory),
];

const fn needed(
    keyword: &'static str,
    variable: &'static str,
    usual: Option<&'static str>,
    kind: Kind,
) -> Needed {
    Needed { keyword, variable, usual, kind }
}

/// A server to be taken in, and with it everything that its caller may use to get there.
pub struct Source {
    ways: Vec<Way>,
}

impl Source {
    /// Reads a connection string, and whatever of the caller's goes with it.
    ///
    /// # Errors
    /// `usage` for a string or a service that cannot be read; `unsupported` where no server's
    /// programs are installed; those of reading the caller's files.
    pub fn of_caller(text: &str) -> Result<Source> {
        let account = Account::for_new_cluster()?;
        let newest = Installation::newest()?;
        let caller = Caller::of_this_process();
        let mut parameters = conninfo::parse(text)?;
        services::add(&mut parameters, &caller, &newest)?;
        // Whether it replicates is for each program to say.
        parameters.remove("replication");
        // What is asked is read as this.
        parameters.insert("client_encoding".into(), b"UTF8".to_vec());

        let asked = Asked { parameters, caller, account };
        let ways = asked.users().into_iter().map(|user| asked.way(user));
        Ok(Source { ways: ways.collect::<Result<_>>()? })
    }

    /// Under whose names to log in, the likeliest first.
    pub(super) fn ways(self) -> Vec<Way> {
        self.ways
    }
}

/// What the caller asks for, with a way to look up what is not said.
struct Asked {
    parameters: Parameters,
    caller: Caller,
    account: Account,
}

impl Asked {
    /// A parameter as libpq finds it; an empty one is as good as none.
    fn find(&self, keyword: &str, variable: &str) -> Option<Vec<u8>> {
        let given = self.parameters.get(keyword).cloned();
        given.or_else(|| self.caller.variable(variable)).filter(|value| !value.is_empty())
    }

    /// The user that is named, or `None` for the one that the program runs as.
    ///
    /// Without a name it is the caller, as everywhere. Through a socket the server may look at who
    /// the process belongs to, and that is the account.
    fn users(&self) -> Vec<Option<String>> {
        if self.account.to_switch_to().is_none() || self.find("user", "PGUSER").is_some() {
            return vec![None];
        }
        let mut users = vec![Some(self.caller.name.clone())];
        if self.places().iter().any(Place::is_socket) {
            users.push(None);
        }
        users
    }

    /// Where the server may be. Lists that do not fit together are for libpq to refuse.
    fn places(&self) -> Vec<Place> {
        let list = |keyword, variable| {
            let text = self.find(keyword, variable).unwrap_or_default();
            text.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let (hosts, addresses) = (list("host", "PGHOST"), list("hostaddr", "PGHOSTADDR"));
        let ports = list("port", "PGPORT");
        let nth = |list: &[Vec<u8>], n: usize| list.get(n).cloned().filter(|it| !it.is_empty());
        let place = |n: usize| {
            let port = if ports.len() == 1 { nth(&ports, 0) } else { nth(&ports, n) };
            Place {
                host: nth(&hosts, n).or_else(|| nth(&addresses, n)).unwrap_or_default(),
                port: port.unwrap_or_else(|| b"5432".to_vec()),
            }
        };
        (0..hosts.len().max(addresses.len())).map(place).collect()
    }

    /// Gathers everything for one user's name.
    fn way(&self, user: Option<String>) -> Result<Way> {
        let mut way = Way {
            account: self.account.clone(),
            open: Parameters::new(),
            environment: Vec::new(),
            handed: Handed::default(),
            places: self.places(),
            notes: Vec::new(),
        };
        for variable in VARIABLES {
            if let Some(value) = self.caller.variable(variable) {
                way.set(variable, value);
            }
        }
        let mut hidden = Vec::new();
        for (keyword, value) in &self.parameters {
            match keyword.as_str() {
                "password" => way.set("PGPASSWORD", value.clone()),
                "options" => way.set("PGOPTIONS", value.clone()),
                keyword if conninfo::is_open(keyword) => {
                    way.open.insert(keyword.into(), value.clone());
                }
                _ => hidden.push((keyword, value)),
            }
        }
        if let Some(user) = &user {
            way.open.insert("user".into(), user.clone().into());
        }
        self.hand_over_files(&mut way)?;
        self.hand_over_tickets(&mut way)?;
        self.hand_over_password(&mut way, user)?;
        hide(&mut way, &hidden)?;
        if let Some(file) = way.open.get_mut("sslkeylogfile") {
            *file = bytes(self.caller.absolute(Path::new(OsStr::from_bytes(file))));
        }
        Ok(way)
    }

    fn hand_over_files(&self, way: &mut Way) -> Result<()> {
        let switches = self.account.to_switch_to().is_some();
        let without_tls = self.find("sslmode", "PGSSLMODE").is_some_and(|mode| mode == b"disable");
        for Needed { keyword, variable, usual, kind } in &NEEDED {
            let named = self.find(keyword, variable);
            let is_no_path = match (*kind, named.as_deref()) {
                (Kind::File, Some(b"system")) => *keyword == "sslrootcert",
                // A key in a device, by the name of its engine.
                (Kind::Key, Some(name)) => name.contains(&b':'),
                _ => false,
            };
            let path = match (&named, usual) {
                (Some(name), _) if is_no_path => PathBuf::from(OsStr::from_bytes(name)),
                (Some(name), _) => self.caller.absolute(Path::new(OsStr::from_bytes(name))),
                (None, Some(usual)) if switches => self.caller.at_home(usual),
                (None, _) => continue,
            };
            let path = match kind {
                _ if is_no_path || !switches || without_tls => path,
                Kind::File => way.handed.file(&path, &self.account)?,
                Kind::Key => way.handed.key(&path, &self.account)?,
                Kind::Directory => path,
            };
            if way.open.contains_key(*keyword) {
                way.open.insert((*keyword).into(), bytes(path));
            } else {
                way.set(variable, bytes(path));
            }
        }
        Ok(())
    }

    /// Another account gets the caller's tickets of Kerberos where they are in a file, and none of
    /// its own.
    fn hand_over_tickets(&self, way: &mut Way) -> Result<()> {
        if self.account.to_switch_to().is_none() {
            return Ok(());
        }
        let named = self.caller.variable("KRB5CCNAME").filter(|name| !name.is_empty());
        let usual = format!("/tmp/krb5cc_{}", rustix::process::geteuid().as_raw());
        let name = named.unwrap_or_else(|| usual.into_bytes());
        let path = name.strip_prefix(b"FILE:").unwrap_or(&name);
        let path = match path.starts_with(b"/") {
            true => way.handed.file(Path::new(OsStr::from_bytes(path)), &self.account)?,
            false => way.handed.nothing(Path::new(OsStr::from_bytes(&name))),
        };
        way.set("KRB5CCNAME", [b"FILE:", bytes(path).as_slice()].concat());
        Ok(())
    }

    /// A password that is given is in the environment by now. Else the caller's password file
    /// counts, and never one of the account.
    fn hand_over_password(&self, way: &mut Way, user: Option<String>) -> Result<()> {
        let path = match self.find("passfile", "PGPASSFILE") {
            Some(path) => self.caller.absolute(Path::new(OsStr::from_bytes(&path))),
            None => self.caller.at_home(".pgpass"),
        };
        way.open.remove("passfile");
        let given = match self.parameters.get("password") {
            Some(password) => !password.is_empty(),
            None => self.caller.variable("PGPASSWORD").is_some_and(|given| !given.is_empty()),
        };
        let path = if given {
            way.handed.nothing(&path)
        } else {
            // One that is given and empty counts for more than one of the environment.
            way.unset("PGPASSWORD");
            let (file, unusable) = PasswordFile::read(&path)?;
            way.notes.extend(unusable);
            let user = self.find("user", "PGUSER").or(user.map(Vec::from));
            let user = user.unwrap_or_else(|| self.account.name.clone().into());
            let database = self.find("dbname", "PGDATABASE").unwrap_or_else(|| user.clone());
            let excerpt = file.excerpt(&way.places, &database, &user);
            match excerpt.is_empty() {
                true => way.handed.nothing(&path),
                false => way.handed.text(&path, &excerpt, 0o600, &self.account)?,
            }
        };
        way.set("PGPASSFILE", bytes(path));
        Ok(())
    }
}

/// Secrets without a variable of their own go into a service, which is a file.
fn hide(way: &mut Way, hidden: &[(&String, &Vec<u8>)]) -> Result<()> {
    if hidden.is_empty() {
        return Ok(());
    }
    let mut text = b"[tine]\n".to_vec();
    for (keyword, value) in hidden {
        let whole = value.trim_ascii_end().len() == value.len() && !value.contains(&b'\n');
        if !whole {
            let what = format!("the value of {keyword} has a newline in it or a blank at its end");
            return Err(Error::new(Code::Unsupported, what)
                .hint("take that out of it: there is no way to hand it over unseen"));
        }
        text.extend([keyword.as_bytes(), b"=", value, b"\n"].concat());
    }
    let names: Vec<&str> = hidden.iter().map(|(keyword, _)| keyword.as_str()).collect();
    let stands_for = PathBuf::from(format!("the parameters {}", names.join(", ")));
    let account = way.account.clone();
    let path = way.handed.text(&stands_for, &text, 0o600, &account)?;
    way.set("PGSERVICEFILE", bytes(path));
    way.open.insert("service".into(), b"tine".to_vec());
    Ok(())
}

fn bytes(path: PathBuf) -> Vec<u8> {
    path.into_os_string().into_vec()
}

/// One way to log in, with all that a program needs for it.
pub(super) struct Way {
    pub account: Account,
    /// What may be seen in the list of processes.
    open: Parameters,
    environment: Vec<(&'static str, OsString)>,
    handed: Handed,
    places: Vec<Place>,
    notes: Vec<String>,
}

impl Way {
    fn set(&mut self, variable: &'static str, value: Vec<u8>) {
        self.unset(variable);
        self.environment.push((variable, OsString::from_vec(value)));
    }

    fn unset(&mut self, variable: &str) {
        self.environment.retain(|(name, _)| *name != variable);
    }

    /// A client program, set to connect this way but for [`Way::parameters`].
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.account.command(program);
        tine_sys::environment::carry(&mut command, &TRUST);
        if self.account.to_switch_to().is_none() {
            tine_sys::environment::carry(&mut command, &TICKETS);
        }
        // Its words are read here.
        command.env("LC_ALL", "C").envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What a program is given with `-d`.
    pub fn parameters(&self) -> OsString {
        OsString::from_vec(conninfo::text_of(&self.open))
    }

    /// Returns `true` if there is more than one place to try.
    pub fn has_a_choice(&self) -> bool {
        self.places.len() > 1
    }

    /// Goes on with this one of several places, so that every program reaches the same server.
    pub fn settle(&mut self, host: &str, port: &str) {
        let same = |place: &Place| place.host == host.as_bytes() && place.port == port.as_bytes();
        let Some(place) = self.places.iter().position(same) else { return };
        for (keyword, variable) in
            [("host", "PGHOST"), ("hostaddr", "PGHOSTADDR"), ("port", "PGPORT")]
        {
            let listed = self.open.get(keyword).cloned().or_else(|| {
                let found = self.environment.iter().find(|(name, _)| *name == variable)?;
                Some(found.1.as_bytes().to_vec())
            });
            let listed: Vec<_> =
                listed.iter().flat_map(|list| list.split(|byte| *byte == b',')).collect();
            if let (2.., Some(one)) = (listed.len(), listed.get(place)) {
                self.open.insert(keyword.into(), one.to_vec());
            }
        }
        self.places = vec![self.places[place].clone()];
    }

    /// What a program said, in words that the caller can follow, and what was noticed before.
    pub fn explain(&self, said: &str) -> (String, &[String]) {
        (self.handed.in_the_callers_words(said), &self.notes)
    }
}
