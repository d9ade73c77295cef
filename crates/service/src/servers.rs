//! PostgreSQL servers on branches: each on a mount of its branch, remembered in a file beside its socket.
//!
//! The server outlives the command that starts it, and may outlive the holder: the files say which there
//! are, and whoever comes by next tidies up after those that are gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::client::Reach;
use crate::doors::{self, How};
use crate::postgres::{Cluster, Launch, Server};
use crate::request::Request;
use crate::response::{Inspected, OneBranch, Response, ServerList, ServerRow};
use crate::time::elapsed_us;
use crate::{Client, Code, Error, Result, runtime, stale};

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

/// What is remembered of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    branch: String,
    server: Server,
    /// Whether the mount was made for the server, and goes with it.
    own_mount: bool,
}

/// Starts a server on the branch `name` and waits until it takes connections.
///
/// # Errors
/// `branch-busy` when one runs already; `unsupported` without a data directory, or without an installed server
/// of its version; `io` with the server's own words when it does not come up.
pub fn start(client: &Client, name: &str, how: &Start) -> Result<Response> {
    let begun = Instant::now();
    reap(client)?;
    let mut holder = client.hold()?;
    let inspected = match holder.call(Request::Inspect { name: name.into() })? {
        Response::Inspected(inspected) => inspected,
        _ => return Err(doors::unexpected()),
    };
    must_be_startable(name, &inspected)?;
    let place = runtime::of_branch(client.store(), inspected.id)?;
    if let Some(record) = read(&place)? {
        let what = format!("a server runs on branch {name} already: {}", record.server.uri);
        return Err(Error::new(Code::BranchBusy, what)
            .hint(format!("use it, or stop it with `tine postgres stop {name}`")));
    }
    let (root, own_mount) = match &inspected.mount {
        Some(mount) => (mount.directory.clone(), false),
        None => {
            let directory = runtime::mount_in(&place);
            runtime::make(&directory)?;
            doors::mount(client, name, &directory, How::default())?;
            (directory, true)
        }
    };
    let started = launch(name, &inspected, &root, &place, how);
    let record = started.and_then(|server| {
        let record = Record { branch: name.into(), server, own_mount };
        match write(&place, &record) {
            Ok(()) => Ok(record),
            Err(error) => {
                record.server.stop()?;
                Err(error)
            }
        }
    });
    match record {
        Ok(record) => {
            let Server { pid, port, uri, .. } = record.server;
            let elapsed_us = elapsed_us(begun);
            let branch = name.to_owned();
            Ok(Response::Server(ServerRow { branch, uri, port, pid, elapsed_us: Some(elapsed_us) }))
        }
        Err(error) => {
            if own_mount {
                // The error to tell is why the server did not start.
                let _ = doors::unmount(client, name, true);
                let _ = remove(&place);
            }
            Err(error)
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
            Err(Error::new(Code::BranchBusy, what)
                .hint(format!("make a branch of it: `tine branch NEW --from {name}`")))
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
    .start()
}

/// Stops the server of the branch `name`, and takes off the mount that was made for it.
///
/// # Errors
/// `not-mounted` when there is no server on it.
pub fn stop(client: &Client, name: &str) -> Result<Response> {
    reap(client)?;
    match of_branch(client, name)? {
        Some((place, record)) => end(client, &place, &record)?,
        None => {
            client.call(Request::Usage { name: Some(name.into()) })?;
            let what = format!("no server runs on branch {name}");
            return Err(
                Error::new(Code::NotMounted, what).hint("`tine postgres list` shows those that do")
            );
        }
    }
    Ok(Response::Branch(OneBranch { branch: name.into() }))
}

/// Stops the server of a branch, if there is one.
///
/// # Errors
/// When it does not end.
pub fn stop_if_running(client: &Client, name: &str) -> Result<()> {
    match of_branch(client, name)? {
        Some((place, record)) => end(client, &place, &record),
        None => Ok(()),
    }
}

/// The servers that run on branches of the store.
///
/// # Errors
/// When the records cannot be read.
pub fn list(client: &Client) -> Result<Response> {
    reap(client)?;
    let rows = records(client)?.into_iter().map(|(_, record)| ServerRow {
        branch: record.branch,
        uri: record.server.uri,
        port: record.server.port,
        pid: record.server.pid,
        elapsed_us: None,
    });
    let mut servers: Vec<ServerRow> = rows.collect();
    servers.sort_by(|a, b| a.branch.cmp(&b.branch));
    Ok(Response::Servers(ServerList { servers }))
}

/// Tidies up after servers that were killed, and ends those whose mount is gone.
fn reap(client: &Client) -> Result<()> {
    let found = records(client)?;
    if found.is_empty() {
        return Ok(());
    }
    let mut reach = client.reach()?;
    let mut mounted = Vec::new();
    if let Reach::There(holder) = &mut reach
        && let Response::Mounts(mounts) = holder.call(Request::Mounts)?
    {
        mounted = mounts.into_iter().map(|(branch, _)| branch).collect();
    }
    reach.leave()?;
    for (place, record) in found {
        if !record.server.is_alive() || !mounted.contains(&record.branch) {
            end(client, &place, &record)?;
        }
    }
    Ok(())
}

fn end(client: &Client, place: &Path, record: &Record) -> Result<()> {
    if record.server.is_alive() {
        record.server.stop()?;
    }
    await_reaped(record.server.pid);
    if record.own_mount {
        match doors::unmount(client, &record.branch, false) {
            Err(error) if !matches!(error.code, Code::NotMounted | Code::BranchNotFound) => {
                return Err(error);
            }
            _ => {}
        }
    }
    // A mount whose holder died is nobody's any more.
    stale::detach_one(&runtime::mount_in(place));
    remove(place)
}

/// Waits for the system to forget a process that has ended. Until then its number looks taken, and the
/// next server on the same data would take it for its rival.
fn await_reaped(pid: u32) {
    let deadline = Instant::now() + REAP_PATIENCE;
    let process = PathBuf::from(format!("/proc/{pid}/stat"));
    let ended =
        |stat: String| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'));
    while fs::read_to_string(&process).is_ok_and(ended) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn of_branch(client: &Client, name: &str) -> Result<Option<(PathBuf, Record)>> {
    Ok(records(client)?.into_iter().find(|(_, record)| record.branch == name))
}

fn records(client: &Client) -> Result<Vec<(PathBuf, Record)>> {
    let mut found = Vec::new();
    for place in runtime::branches(client.store())? {
        if let Some(record) = read(&place)? {
            found.push((place, record));
        }
    }
    Ok(found)
}

fn record_path(place: &Path) -> PathBuf {
    place.join("server.json")
}

fn read(place: &Path) -> Result<Option<Record>> {
    let path = record_path(place);
    match fs::read(&path) {
        // A record that was cut short is of a server that never came up.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::path("read", &path, error)),
    }
}

fn write(place: &Path, record: &Record) -> Result<()> {
    let path = record_path(place);
    let text = serde_json::to_vec(record).map_err(|error| Error::io("recording", error))?;
    fs::write(&path, text).map_err(|error| Error::path("write", &path, error))
}

/// Removes what a start or an import that was killed left of its directories. Nothing is mounted there.
pub(crate) fn remove_unless_recorded(place: &Path) {
    if !record_path(place).exists() {
        // What cannot be removed is in nobody's way.
        let _ = remove(place);
    }
}

fn remove(place: &Path) -> Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::path("remove", place, error))
        }
        _ => Ok(()),
    };
    // Never into a mount: the directory of a mount must be empty by now.
    gone(fs::remove_dir(runtime::mount_in(place)))?;
    gone(fs::remove_dir_all(place.join("run")))?;
    gone(fs::remove_file(record_path(place)))?;
    gone(fs::remove_dir(place))?;
    if let Some(of_store) = place.parent() {
        // Unless other branches of the store have theirs.
        let _ = fs::remove_dir(of_store);
    }
    Ok(())
}
