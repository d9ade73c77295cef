//! The error of a branch that is in use: what uses it, and what can be done about that.

use crate::machine::in_use::{is_in_place, look_at};
use crate::machine::runtime;
use crate::protocol::mounts::Mount;
use crate::protocol::{Code, Error, Hint, UsedBy, Wanted};

/// The error of a branch that is in use, with what uses it where that is not plain.
pub fn busy(branch: &str, mount: &Mount, wanted: Wanted) -> Error {
    let directory = mount.directory.display();
    let error = |by: UsedBy, what: String| {
        let hint = Hint::InUse { branch: branch.into(), by, wanted };
        Error::new(Code::BranchBusy, what).hint(hint)
    };
    if mount.private_to.is_none() && is_in_place(mount) {
        if runtime::is_for_a_server(&mount.directory) {
            let what = format!("a PostgreSQL server runs on branch {branch}");
            return error(UsedBy::Server, what);
        }
        let what = match wanted {
            Wanted::Changed | Wanted::Renamed => {
                format!("branch {branch} is mounted at {directory}")
            }
            Wanted::Entered => format!("branch {branch} is in use at {directory}"),
            Wanted::Unmounted => {
                format!("branch {branch} is in use at {directory} by {}", look_at(mount).users())
            }
        };
        return error(UsedBy::Mount, what);
    }
    let seen = look_at(mount);
    let command = mount.private_to.filter(|pid| seen.processes().iter().any(|it| it.pid == *pid));
    match (mount.private_to, command) {
        (_, Some(pid)) => {
            let what = format!("branch {branch} is in use by a command (process {pid})");
            error(UsedBy::Command, what)
        }
        (Some(_), None) => {
            let words = seen.words();
            let what = format!("branch {branch} is in use by what a command left behind: {words}");
            error(UsedBy::Leftovers, what)
        }
        (None, None) => {
            let words = seen.words();
            let what = format!("branch {branch} is off {directory}, but still in use: {words}");
            error(UsedBy::Leftovers, what)
        }
    }
}
