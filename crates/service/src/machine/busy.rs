//! The error of a branch that is in use: who uses it, and what can be done about that.

use crate::machine::in_use::{Seen, is_in_place, look, names};
use crate::machine::runtime;
use crate::protocol::requests::Mount;
use crate::protocol::{Code, Error};

/// What a command wanted of a branch that is in use; it decides what can be done instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To take its mount off, which can be forced.
    Unmounted,
    /// To delete or reset it, which can be forced.
    Changed,
    /// To rename it, which cannot.
    Renamed,
    /// To mount it or to run something in it.
    Entered,
}

/// The error of a branch that is in use, with who uses it where that is not plain.
pub fn busy(name: &str, mount: &Mount, wanted: Wanted) -> Error {
    let directory = mount.directory.display();
    let error = |what: String, hint: String| Error::new(Code::BranchBusy, what).hint(hint);
    let in_place = is_in_place(mount);
    if mount.private_to.is_none() && in_place && runtime::is_for_a_server(&mount.directory) {
        return serving(name, wanted);
    }
    let fork = format!("make a branch of it: `tine branch NEW --from {name}`");
    if mount.private_to.is_none() && in_place {
        let mounted = format!("branch {name} is mounted at {directory}");
        return match wanted {
            Wanted::Changed => {
                error(mounted, format!("`tine unmount {name}` first, or add --force to detach it"))
            }
            Wanted::Renamed => error(mounted, format!("`tine unmount {name}` first")),
            Wanted::Entered => error(format!("branch {name} is in use at {directory}"), fork),
            Wanted::Unmounted => {
                let working = seen(mount).working;
                error(
                    format!("branch {name} is in use at {directory} by {}", names(&working)),
                    "leave that directory, and end what works in it; or add --force".into(),
                )
            }
        };
    }
    let seen = seen(mount);
    let command = mount.private_to.filter(|pid| seen.processes().iter().any(|it| it.pid == *pid));
    let what = match (mount.private_to, command) {
        (_, Some(pid)) => format!("branch {name} is in use by a command (process {pid})"),
        (Some(_), None) => {
            format!("branch {name} is in use by what a command left behind: {}", seen.words())
        }
        (None, None) => {
            format!("branch {name} is off {directory}, but still in use: {}", seen.words())
        }
    };
    let end = if command.is_some() { "wait until that command has ended" } else { "end that" };
    match wanted {
        Wanted::Unmounted | Wanted::Changed => {
            error(what, format!("{end}, or add --force to cut it off"))
        }
        Wanted::Renamed => {
            error(what, format!("{end}, or cut it off: `tine unmount {name} --force`"))
        }
        Wanted::Entered if command.is_some() => error(what, fork),
        Wanted::Entered => {
            error(what, format!("{end}, or cut it off: `tine unmount {name} --force`; or {fork}"))
        }
    }
}

/// The error of a branch that is mounted for its server.
pub fn serving(name: &str, wanted: Wanted) -> Error {
    let stop = format!("stop it first: `tine postgres stop {name}`");
    let hint = match wanted {
        Wanted::Unmounted | Wanted::Changed => format!("{stop}; or add --force to cut it off"),
        Wanted::Renamed => stop,
        Wanted::Entered => {
            format!("{stop}; or make a branch of it: `tine branch NEW --from {name}`")
        }
    };
    Error::new(Code::BranchBusy, format!("a PostgreSQL server runs on branch {name}")).hint(hint)
}

fn seen(mount: &Mount) -> Seen {
    mount.device.as_deref().map(look).unwrap_or_default()
}
