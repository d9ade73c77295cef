//! A fork's subscriptions: each has the name of the original's slot at its publisher, which `DROP
//! SUBSCRIPTION` in the fork would drop there.

use std::path::Path;

use super::over_socket::{OverSocket, cells};
use super::roles::file_of_shared;
use crate::protocol::{Code, Error, Result};

/// The number of the catalogue `pg_subscription`, which all databases share.
const PG_SUBSCRIPTION: u32 = 6100;

const DATABASES: &str = "select distinct datname from pg_catalog.pg_subscription \
                         join pg_catalog.pg_database on pg_database.oid = subdbid";

/// What `ALTER SUBSCRIPTION … DISABLE` and `… SET (slot_name = NONE)` write, for all of a database.
/// Written directly, so that neither a trigger nor a publisher has part in it. Tables that were
/// being copied have slots there as well, by names that are made of the table's and the
/// subscription's numbers: only forgetting these tables forgets them.
const DETACH: &str = "begin read write; \
    set local synchronous_commit = on; set local statement_timeout = 0; \
    update pg_catalog.pg_subscription set subenabled = false, subslotname = null where subdbid = \
        (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()); \
    delete from pg_catalog.pg_subscription_rel where srsubstate <> 'r'; \
    commit";

/// Takes the slots of their publishers from the subscriptions of a server that has just been
/// started.
///
/// # Errors
/// `Unsupported` where it cannot be done, with the names of the databases.
pub(super) fn stand_alone(
    directory: &Path,
    socket: &OverSocket<'_>,
    role: Option<&str>,
) -> Result<()> {
    if !may_be_there(directory) {
        return Ok(());
    }
    let Some(role) = role else {
        return Err(tied("subscriptions", "no superuser that may log in was found"));
    };
    let answer = |database: &str, query: &str| {
        let of_database = format!("the subscriptions of database {database}");
        let what = if query == DETACH { &of_database } else { "subscriptions" };
        let output = socket.ask(role, database, query)?;
        if !output.status.success() {
            return Err(tied(what, String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(cells(&output))
    };
    for database in answer("template1", DATABASES)? {
        answer(&database, DETACH)?;
    }
    Ok(())
}

/// Returns `false` if the catalogue has never had a row.
fn may_be_there(directory: &Path) -> bool {
    let file = file_of_shared(directory, PG_SUBSCRIPTION);
    std::fs::metadata(file).map_or(true, |metadata| metadata.len() > 0)
}

fn tied(what: &str, why: &str) -> Error {
    let message = format!("{what} cannot be cut off from the original's replication slots: {why}");
    Error::new(Code::Unsupported, message).hint(
        "on the original let a superuser log in, and each database that subscribes take connections; then take it in \
         again",
    )
}
