//! PostgreSQL servers on branches: each on a mount of its branch, remembered in a file next to its
//! socket.
//!
//! The server outlives the command that starts it, and may outlive the holder: the files say which
//! there are, and the next command tidies up after those that are gone. Each branch has a lock,
//! which a command holds while it starts, stops or tidies up after its server; no branch stands in
//! the way of another.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use serde::Serialize;

use crate::client::{Client, Connection};
use crate::commands::mount::{self, MountFlags};
use crate::commands::server_lock::ServerLock;
use crate::commands::server_record::{self, Record};
use crate::commands::{kept_log, unmount};
use crate::machine::{busy, cleanup, in_use, runtime, server_place};
use crate::postgres::{Cluster, Ended, Haste, Launch, Server};
use crate::protocol::mounts::{Identify, Inspect, Inspected, ListMounts, MountedBranch};
use crate::protocol::time::elapsed_us;
use crate::protocol::{Code, Error, Hint, Result, Wanted};

/// Recovery replays what a checkpoint has not written; that is minutes at most.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long the system may take to forget a process that has ended.
const REAP_PATIENCE: Duration = Duration::from_secs(5);

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The data directory inside the branch; the only one there is if absent.
    pub data_dir: Option<PathBuf>,
    /// The TCP port; a free one if absent.
    pub port: Option<u16>,
}

/// A server on a branch. The URI leads over its Unix socket; the port is on 127.0.0.1.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct ServerRow {
    pub branch: String,
    pub uri: String,
    pub port: u16,
    pub pid: u32,
    /// How long the start took, where it was just started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_us: Option<u64>,
}

/// Starts a server on the branch `name` and waits until it takes connections.
///
/// # Errors
/// `branch-busy` when one runs already; `unsupported` without a data directory, or without an
/// installed server of its version; `io` with the server's own words when it does not come up.
pub fn start(client: &Client, name: &str, how: &Start) -> Result<ServerRow> {
    let begun = Instant::now();
    let mut holder = client.hold()?;
    let (_lock, inspected) = lock_for_start(client, &mut holder, name)?;
    must_be_startable(name, &inspected)?;
    let place = runtime::of_branch(client.store(), inspected.id)?;
    let directory = runtime::mount_in(&place);
    let (root, own_mount) = match &inspected.mount {
        // A start that was killed may have left it.
        Some(mount) => (mount.directory.clone(), mount.directory == directory),
        None => {
            runtime::make(&directory)?;
            // Root's server runs as another user.
            let how = MountFlags { allow_other: geteuid().is_root(), ..MountFlags::default() };
            mount::mount(client, name, &directory, how)?;
            (directory, true)
        }
    };
    let record = |server: Server, ready: bool| {
        let branch = name.into();
        let record = Record { branch, server, own_mount, ready, is_stopped: false };
        server_record::write(&place, &record)
    };
    let started = launch(name, &inspected, &root, &place, how, &mut |server| record(server, false));
    let started = started.and_then(|server| match record(server.clone(), true) {
        Ok(()) => Ok(server),
        Err(error) => {
            server.stop()?;
            Err(error)
        }
    });
    match started {
        Ok(Server { pid, port, uri, .. }) => {
            kept_log::forget(&place);
            let elapsed_us = elapsed_us(begun);
            let branch = name.to_owned();
            Ok(ServerRow { branch, uri, port, pid, elapsed_us: Some(elapsed_us) })
        }
        Err(error) => {
            let error = match server_record::read(&place) {
                Ok(Some(record)) if record.is_stopped => stopped_meanwhile(name),
                _ => kept_log::keep(&place, error),
            };
            // The error to tell is why the server did not start.
            if own_mount {
                let _ = unmount::unmount(client, name, true);
                let _ = server_place::remove(&place);
            } else {
                let _ = fs::remove_file(server_place::record_path(&place));
            }
            Err(error)
        }
    }
}

fn stopped_meanwhile(name: &str) -> Error {
    let what = format!("the server of branch {name} was stopped by another command as it started");
    Error::new(Code::Interrupted, what).hint(Hint::StartServerAgain { branch: name.into() })
}

/// Locks the server of a branch, ends what is left of an earlier one, and says how the branch is
/// then.
fn lock_for_start(
    client: &Client,
    holder: &mut Connection,
    name: &str,
) -> Result<(ServerLock, Inspected)> {
    loop {
        let id = holder.ask(Inspect { name: name.into() })?.id;
        let lock = ServerLock::wait(client.store(), id)?;
        let place = runtime::place(client.store(), id);
        if let Some(record) = server_record::read(&place)? {
            if record.ready && record.server.is_alive() && is_mounted(client, &record)? {
                let what = format!("a server runs on branch {name} already: {}", record.server.uri);
                return Err(Error::new(Code::BranchBusy, what)
                    .hint(Hint::UseOrStopServer { branch: name.into() }));
            }
            end(client, &place, &record, haste_for_rest(client, &record)?)?;
        }
        // While this waited, the branch may have been deleted, and another made of that name.
        let inspected = holder.ask(Inspect { name: name.into() })?;
        if inspected.id == id {
            return Ok((lock, inspected));
        }
    }
}

fn must_be_startable(name: &str, inspected: &Inspected) -> Result<()> {
    if inspected.sealed {
        return Err(tine_store::Error::Sealed { name: name.into() }.into());
    }
    match &inspected.mount {
        Some(mount) if mount.private_to.is_some() || mount.read_only => {
            let what = format!("branch {name} is in use at {}", mount.directory.display());
            Err(Error::new(Code::BranchBusy, what).hint(Hint::ForkInstead { branch: name.into() }))
        }
        // Another directory would be taken for the branch.
        Some(mount) if !in_use::is_in_place(mount) => Err(busy::busy(name, mount, Wanted::Entered)),
        Some(mount) if geteuid().is_root() && !mount.allow_other => {
            let directory = mount.directory.display();
            let what = format!(
                "branch {name} is mounted at {directory} for root alone, and a server runs as another user"
            );
            Err(Error::new(Code::BranchBusy, what)
                .hint(Hint::MountForServer { branch: name.into() }))
        }
        _ => Ok(()),
    }
}

fn launch(
    name: &str,
    inspected: &Inspected,
    root: &Path,
    place: &Path,
    how: &Start,
    began: &mut dyn FnMut(Server) -> Result<()>,
) -> Result<Server> {
    let cluster = match &how.data_dir {
        Some(path) => Cluster::open_in(root, &root.join(path.strip_prefix("/").unwrap_or(path)))?,
        None => Cluster::find(root).map_err(|error| {
            let message = format!("branch {name} cannot be served: {}", error.message);
            Error { message, ..error }
        })?,
    };
    Launch {
        cluster: &cluster,
        identity: &inspected.identity,
        label: name,
        runtime: &place.join("run"),
        port: how.port,
        patience: PATIENCE,
    }
    .start_telling(began)
}

/// Stops the server of the branch `name`, and takes off the mount that was made for it. A command
/// at the same time may have done so first; a start that is not done yet fails. A server that does
/// not react is killed, and the answer says so.
///
/// # Errors
/// `not-mounted` when there is no server on it.
pub fn stop(client: &Client, name: &str) -> Result<Ended> {
    stop_any(client, name, Haste::Orderly)?.ok_or_else(|| {
        let what = format!("no server runs on branch {name}");
        Error::new(Code::NotMounted, what).hint(Hint::ListServers)
    })
}

/// Stops the server of a branch, if there is one, with little patience.
///
/// # Errors
/// When it does not end.
pub fn stop_if_running(client: &Client, name: &str) -> Result<()> {
    match stop_any(client, name, Haste::Forced) {
        Err(error) if error.code == Code::BranchNotFound => Ok(()),
        done => done.map(drop),
    }
}

/// Stops what there is, and says how it ended; `None` if there was nothing.
fn stop_any(client: &Client, name: &str, haste: Haste) -> Result<Option<Ended>> {
    let mut access = client.reach_to_read()?;
    let id = access.ask(Identify { name: name.into() })?;
    access.leave()?;
    let place = runtime::place(client.store(), id);
    if !place.exists() {
        return Ok(None);
    }
    let was_there = server_record::read(&place)?.is_some();
    let mut ended = was_there.then_some(Ended::ByItself);
    // A start holds the lock until its server takes connections, which may never come. It tidies up
    // itself.
    let mut end_start = || match server_record::read(&place)? {
        Some(record) if !record.ready && record.server.is_alive() => {
            let record = Record { is_stopped: true, ..record };
            // Without it the start fails with another reason.
            let _ = server_record::write(&place, &record);
            let how = record.server.end(haste)?;
            ended = ended.filter(|before| *before == Ended::Killed).or(Some(how));
            Ok(())
        }
        _ => Ok(()),
    };
    let _lock = ServerLock::wait_with(client.store(), id, &mut end_start)?;
    if let Some(record) = server_record::read(&place)? {
        return end(client, &place, &record, haste).map(Some);
    }
    // A start that was killed before its server began leaves the mount.
    if let Some(branch) = mounted_on(client, &runtime::mount_in(&place))? {
        unmount::unmount(client, &branch, true)?;
        server_place::remove(&place)?;
        return Ok(ended.or(Some(Ended::ByItself)));
    }
    Ok(ended)
}

/// The servers that run on branches of the store.
///
/// # Errors
/// When the records cannot be read.
pub fn list(client: &Client) -> Result<Vec<ServerRow>> {
    reap(client)?;
    let running = server_record::all(client.store())?.into_iter().map(|(_, record)| record);
    let running = running.filter(|record| record.ready && record.server.is_alive());
    let rows = running.map(|record| ServerRow {
        branch: record.branch,
        uri: record.server.uri,
        port: record.server.port,
        pid: record.server.pid,
        elapsed_us: None,
    });
    let mut servers: Vec<ServerRow> = rows.collect();
    servers.sort_by(|a, b| a.branch.cmp(&b.branch));
    Ok(servers)
}

/// Tidies up after servers that were killed, after starts that were, and after mounts that are
/// gone, but not where another command is at work.
fn reap(client: &Client) -> Result<()> {
    for (place, _) in server_record::all(client.store())? {
        let Some(_lock) = ServerLock::try_take(&place)? else { continue };
        let Some(record) = server_record::read(&place)? else { continue };
        if record.ready && record.server.is_alive() && is_mounted(client, &record)? {
            continue;
        }
        // A command that works with this one gets the error that keeps it from being tidied up; it
        // concerns no other.
        let _ =
            haste_for_rest(client, &record).and_then(|haste| end(client, &place, &record, haste));
    }
    Ok(())
}

/// How a server is ended that no command waits for: without its mount it can save nothing.
fn haste_for_rest(client: &Client, record: &Record) -> Result<Haste> {
    Ok(if is_mounted(client, record)? { Haste::Orderly } else { Haste::Forced })
}

fn is_mounted(client: &Client, record: &Record) -> Result<bool> {
    let mounts = mounts(client)?;
    Ok(mounts.iter().any(|row| row.branch == record.branch))
}

/// The branch that is mounted on a directory.
fn mounted_on(client: &Client, directory: &Path) -> Result<Option<String>> {
    let found = mounts(client)?.into_iter().find(|row| row.mount.directory == directory);
    Ok(found.map(|row| row.branch))
}

/// The mounts that are served; on a store that cannot be written, too.
fn mounts(client: &Client) -> Result<Vec<MountedBranch>> {
    let mut access = client.reach_to_read()?;
    let mounts = access.ask(ListMounts)?;
    access.leave()?;
    Ok(mounts)
}

/// Ends what a record is of. Called with the lock of the branch held.
fn end(client: &Client, place: &Path, record: &Record, haste: Haste) -> Result<Ended> {
    let ended = record.server.end(haste)?;
    await_reaped(record.server.pid);
    let directory = runtime::mount_in(place);
    if record.own_mount
        && let Some(branch) = mounted_on(client, &directory)?
    {
        // The mount was made for the server alone, so whatever else has a copy of it was not given
        // it.
        match unmount::unmount(client, &branch, true) {
            Err(error) if !matches!(error.code, Code::NotMounted | Code::BranchNotFound) => {
                return Err(error);
            }
            _ => {}
        }
    }
    // A mount whose holder died is served by no process.
    cleanup::detach_one(&directory);
    server_place::remove(place)?;
    Ok(ended)
}

/// Waits for the system to forget a process that has ended. Until then its number looks taken, and
/// the next server on the same data would take it for its rival.
fn await_reaped(pid: u32) {
    let deadline = Instant::now() + REAP_PATIENCE;
    let process = PathBuf::from(format!("/proc/{pid}/stat"));
    let ended =
        |stat: String| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'));
    while fs::read_to_string(&process).is_ok_and(ended) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}
