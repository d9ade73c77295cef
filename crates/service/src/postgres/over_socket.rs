//! Questions to a server on a branch, over its own socket.

use std::path::Path;
use std::process::Output;

use super::account::Account;
use super::installation::Installation;
use super::remembered::Remembered;
use crate::protocol::{Error, Result};

const DATABASES: &str = "select datname from pg_database where datallowconn and not datistemplate \
                         order by datname <> 'postgres', oid";

/// A server's socket, and the user that asks.
pub(super) struct OverSocket<'a> {
    pub installation: &'a Installation,
    pub account: &'a Account,
    /// Where the socket is.
    pub directory: &'a Path,
    pub port: u16,
}

/// What the URI of a server says.
pub(super) struct Known {
    /// A role that may log in, if one was found.
    pub role: Option<String>,
    pub database: String,
}

impl OverSocket<'_> {
    /// A role that may log in and a database to begin with: a superuser, since the URI is for work,
    /// and the database that was named when the data was taken in, as long as there is one of that
    /// name.
    pub fn role_and_database(&self, superusers: &[String], remembered: &Remembered) -> Known {
        let named = remembered.role.clone();
        let mut roles: Vec<String> =
            named.iter().filter(|role| superusers.contains(role)).cloned().collect();
        roles.extend_from_slice(superusers);
        roles.extend([self.account.name.clone(), "postgres".to_owned()]);
        roles.extend(named);
        for (number, role) in roles.iter().enumerate() {
            if roles[..number].contains(role) {
                continue;
            }
            if let Ok(output) = self.ask(role, "template1", DATABASES)
                && output.status.success()
            {
                let names = cells(&output);
                let mut databases = names.iter();
                let wanted = remembered.database.as_ref();
                let found = databases.clone().find(|name| Some(*name) == wanted);
                let database = found.or_else(|| databases.next());
                let database = database.map_or("template1", String::as_str).to_owned();
                return Known { role: Some(role.clone()), database };
            }
        }
        Known { role: None, database: "postgres".to_owned() }
    }

    /// What `psql` answers to a query, as `role` in `database`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn ask(&self, role: &str, database: &str, query: &str) -> Result<Output> {
        let program = self.installation.program("psql");
        let mut psql = self.account.command(&program);
        psql.args(["-X", "-A", "-t", "-w", "-q", "-0", "-v", "ON_ERROR_STOP=1", "-c", query]);
        // A database's name alone might look like a connection string.
        let name = database.replace('\\', "\\\\").replace('\'', "\\'");
        psql.arg("-d").arg(format!("dbname='{name}'")).arg("-U").arg(role);
        psql.arg("-h").arg(self.directory).args(["-p", &self.port.to_string()]);
        psql.output().map_err(|error| Error::path("start", &program, error))
    }
}

/// The cells of an answer of one column that are not empty.
pub(super) fn cells(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.split('\0').filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}
