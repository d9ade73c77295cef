//! A command run inside a branch that is mounted for it alone.
//!
//! Two processes take part. The one that the person started ([`run`]) makes the branch, waits for
//! the command and tells what changed. The other ([`enter`]) moves into a mount namespace of its
//! own, mounts the branch there, hands the device to the holder and becomes the command. When the
//! last process in that namespace has ended, the kernel removes the mount: nothing stays behind,
//! however it ended.
//!
//! Once the command may have begun, its branch has its work in it: from then on no error deletes
//! the branch.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant, SystemTime};

use tine_sys::namespace::enter_private_mounts;
use tine_sys::process::run_in_foreground;
use tine_sys::signals::heed_file_size_limit;

use crate::client::{Client, Connection};
use crate::commands::branch::{self, NewBranches};
use crate::commands::inspect::find_mount;
use crate::commands::mount::{self, inspect_unused};
use crate::machine::in_use::{self, Process};
use crate::protocol::branches::Delete;
use crate::protocol::changes::{Change, Diff};
use crate::protocol::history::{MarkPoint, Marked, PointKind, SettlePoint};
use crate::protocol::mounts::{AwaitDetached, Began};
use crate::protocol::time::rfc3339;
use crate::protocol::usage::MeasureBranch;
use crate::protocol::{Code, Error, Hint, Result};

/// How long a mount may take to hand over its data after the command has ended.
const DETACH: Duration = Duration::from_secs(60);
/// How long processes that end with the command may take to do so.
const GRACE: Duration = Duration::from_secs(1);
/// How long the holder is asked to wait at a time.
const WAIT_MS: u64 = 50;

/// What to run, and where.
#[derive(Clone, Debug)]
pub struct Run {
    /// The branch; a fresh one of a made-up name if absent.
    pub name: Option<String>,
    /// What a fresh branch is made from; the only branch without a parent if absent.
    pub from: Option<String>,
    /// Where the command finds it; the directory that it was imported from if absent.
    pub at: Option<PathBuf>,
    /// What becomes of a fresh branch afterwards.
    pub after: After,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// What becomes of a branch that was made for one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays, unless it has a made-up name and nothing changed in it.
    KeepChanged,
    /// It stays.
    Keep,
    /// It goes.
    Discard,
}

/// What became of the branch of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there, under its name.
    Kept,
    /// It was deleted after the command.
    Discarded,
    /// It was deleted or renamed while the command ran, perhaps by the command.
    Gone,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The branch that it ran in.
    pub branch: String,
    /// The status to exit with: the command's own, or 128 and the number of the signal that ended
    /// it.
    pub status: u8,
    /// Whether the command began; otherwise [`enter`] has said why not.
    pub began: bool,
    /// Whether the branch was made for it.
    pub fresh: bool,
    /// What the command changed; `None` where that is not known.
    pub changes: Option<Vec<Change>>,
    /// What became of the branch.
    pub fate: Fate,
    /// Processes that the command left behind and that go on in the branch, in words.
    pub left_behind: Option<String>,
    /// Why less could be done after the command than should have been.
    pub trouble: Option<Error>,
}

/// Runs a command inside a branch; `entering` is the command line that leads to [`enter`].
///
/// # Errors
/// Those of making and inspecting the branch; `unsupported` when it is not known where to mount it.
pub fn run(client: &Client, run: Run, entering: impl FnOnce(&Entry) -> Command) -> Result<Ended> {
    let mut holder = client.hold()?;
    let (name, fresh) = choose(client, &mut holder, &run)?;
    // While nothing was begun, the reason why is the error to tell. A command that mounted it
    // meanwhile keeps it.
    let let_go = |holder: &mut Connection| fresh && delete(holder, &name, true).is_ok();
    let entry = entry(&mut holder, &name, &run).inspect_err(|_| {
        let_go(&mut holder);
    })?;
    let point = mark(&mut holder, &name, &run).inspect_err(|_| {
        let_go(&mut holder);
    })?;
    let ran = run_in_foreground(&mut entering(&entry))
        .map_err(|error| Error::io("cannot start the command, or wait for its end", error));
    let began = holder.ask(Began { name: name.clone(), run: std::process::id() });
    // Where the holder is gone, nothing says that it did not begin.
    let began = began.unwrap_or(true);
    let mut ended = Ended {
        branch: name.clone(),
        status: ran.as_ref().map_or(1, |status| exit_status(*status)),
        began,
        fresh,
        changes: None,
        fate: Fate::Kept,
        left_behind: None,
        trouble: None,
    };
    if !began {
        settle(&mut holder, point, None, None)?;
        if let_go(&mut holder) {
            ended.fate = Fate::Discarded;
        }
        return ran.map(|_| ended);
    }
    match conclude(client, fresh, &run, point, &mut ended) {
        // The command, or another one, may do that: it is no failure.
        Err(error) if error.code == Code::BranchNotFound => ended.fate = Fate::Gone,
        Err(error) => ended.trouble = Some(error),
        Ok(()) => {}
    }
    if let Err(error) = ran {
        ended.trouble = Some(error);
    }
    if ended.trouble.is_some() && ended.status == 0 {
        // A caller that looks at the status alone must not take it for success.
        ended.status = 1;
    }
    Ok(ended)
}

/// The branch to run in, and whether it was made just now.
fn choose(client: &Client, holder: &mut Connection, run: &Run) -> Result<(String, bool)> {
    if let (Some(name), None) = (&run.name, &run.from) {
        holder.ask(MeasureBranch { name: name.clone() }).map_err(|error| match error.code {
            Code::BranchNotFound => error.hint(Hint::MakeBranchForRun),
            _ => error,
        })?;
        if run.after == After::Discard {
            let what = format!("branch {name} was there before, so it is not discarded");
            return Err(Error::new(Code::Usage, what).hint(Hint::RunInFreshBranch));
        }
        return Ok((name.clone(), false));
    }
    let new = run.name.clone().unwrap_or_else(made_up_name);
    let from = run.from.clone();
    let fresh = NewBranches { new: new.clone(), from, count: None, ttl_s: None, flush: true };
    branch::fork(client, fresh)?;
    Ok((new, true))
}

/// Unique on this machine: the second, and the process.
fn made_up_name() -> String {
    let time = rfc3339(SystemTime::now());
    let digits: String = time.chars().take(19).filter(char::is_ascii_digit).collect();
    format!("run-{digits}-{}", std::process::id())
}

/// What the command's process has to know.
fn entry(holder: &mut Connection, name: &str, run: &Run) -> Result<Entry> {
    let inspected = inspect_unused(holder, name)?;
    let at = match (&run.at, inspected.origin) {
        (Some(at), _) => at.clone(),
        (None, Some(origin)) => origin,
        (None, None) => {
            let what = format!("nobody knows where branch {name} belongs");
            return Err(Error::new(Code::Unsupported, what).hint(Hint::NameRunDirectory));
        }
    };
    Ok(Entry {
        name: name.into(),
        at: mount_point(&at)?,
        read_only: inspected.sealed,
        command: run.command.clone(),
    })
}

fn mount_point(at: &Path) -> Result<PathBuf> {
    let path = at.canonicalize().and_then(|path| match path.is_dir() {
        true => Ok(path),
        false => Err(io::ErrorKind::NotADirectory.into()),
    });
    path.map_err(|error| Error::path("mount on", at, error).hint(Hint::MakeOrNameRunDirectory))
}

fn exit_status(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Waits for the last data, compares, and lets a branch go that is not to be kept.
fn conclude(
    client: &Client,
    fresh: bool,
    run: &Run,
    point: Option<Marked>,
    ended: &mut Ended,
) -> Result<()> {
    let name = ended.branch.clone();
    // Anew: the one that held the store as the command began may have died.
    let mut holder = client.hold()?;
    let left_behind = await_end(&mut holder, &name)?;
    if let Some(processes) = &left_behind {
        ended.left_behind = Some(in_use::names(processes));
    }
    let flushes = left_behind.is_some();
    ended.changes = compare(client, &mut holder, &name, point, flushes)?;
    let changes = ended.changes.as_ref().map(|changes| changes.len() as u64);
    settle(&mut holder, point, Some(ended.status), changes)?;
    let unchanged = ended.changes.as_ref().is_some_and(Vec::is_empty);
    let discard = match run.after {
        After::Keep => false,
        After::Discard => fresh,
        After::KeepChanged => fresh && run.name.is_none() && unchanged,
    };
    // Processes that go on in it need it.
    if discard && left_behind.is_none() {
        delete(&mut holder, &name, unchanged)?;
        ended.fate = Fate::Discarded;
    }
    Ok(())
}

/// What the command changed: what differs from the point before it. Where its space was needed
/// meanwhile, what differs from the fork point. A snapshot has no point, and nothing changes in it.
fn compare(
    client: &Client,
    holder: &mut Connection,
    name: &str,
    point: Option<Marked>,
    flushes: bool,
) -> Result<Option<Vec<Change>>> {
    let mut from = |from: &str, to: Option<&str>| match flushes {
        false => {
            let (name, other) = (from.into(), to.map(str::to_owned));
            holder.ask(Diff { name, other, paths: Vec::new() })
        }
        true => branch::diff(client, from, to),
    };
    let Some(Marked { serial, .. }) = point else { return Ok(Some(Vec::new())) };
    let compared = match from(&format!("{name}@{serial}"), Some(name)) {
        Err(error) if error.code == Code::BranchNotFound => from(name, None),
        compared => compared,
    };
    match compared {
        Ok(changes) => Ok(Some(changes)),
        Err(error) if error.code == Code::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until the command's mount has ended, or names the processes that keep it and do not end
/// with the command.
fn await_end(holder: &mut Connection, name: &str) -> Result<Option<Vec<Process>>> {
    let since = Instant::now();
    loop {
        if holder.ask(AwaitDetached { name: name.into(), timeout_ms: WAIT_MS })? {
            return Ok(None);
        }
        if since.elapsed() < GRACE {
            continue;
        }
        let Some(mount) = find_mount(holder, name)? else { return Ok(None) };
        let keep = in_use::look_at(&mount);
        // What is nowhere to be seen may be the kernel, which still writes.
        if !keep.is_empty() || since.elapsed() >= DETACH {
            return Ok(Some(keep.processes()));
        }
    }
}

/// Unless another command mounted it meanwhile; with `now`, for good.
fn delete(holder: &mut Connection, name: &str, now: bool) -> Result<()> {
    let (names, kind) = (vec![name.into()], PointKind::Discard);
    holder.ask(Delete { names, force: false, now, kind }).map(drop)
}

/// Makes a point before the command; a snapshot has none.
fn mark(holder: &mut Connection, name: &str, run: &Run) -> Result<Option<Marked>> {
    let command = Some(line(&run.command));
    holder.ask(MarkPoint { name: name.into(), kind: PointKind::Run, command })
}

/// Says how the command after a point ended; without a status, that it did not begin.
fn settle(
    holder: &mut Connection,
    point: Option<Marked>,
    status: Option<u8>,
    changes: Option<u64>,
) -> Result<()> {
    let Some(point) = point else { return Ok(()) };
    holder.ask(SettlePoint { point, began: status.is_some(), status, changes })
}

/// A command as it is typed in a shell.
fn line(command: &[OsString]) -> String {
    let word = |word: &OsString| {
        let word = word.to_string_lossy();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
        match !word.is_empty() && word.bytes().all(plain) {
            true => word.into_owned(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// What the process that becomes the command has to know.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Entry {
    pub name: String,
    /// The directory to mount the branch on.
    pub at: PathBuf,
    pub read_only: bool,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// Becomes the command, inside the branch; returns only when that fails, with the status to exit
/// with: that of a shell for a program that is not there (127) or not to be run (126).
///
/// The calling process must have one thread only.
pub fn enter(client: &Client, entry: &Entry) -> (Error, u8) {
    match prepare(client, entry) {
        Ok(mut command) => {
            heed_file_size_limit();
            let error = command.exec();
            let program = Path::new(command.get_program());
            let status = if is_there(program) { 126 } else { 127 };
            (Error::path("run", program, error), status)
        }
        Err(error) => (error, 1),
    }
}

/// Returns `true` if a program exists, on the search path if its name is bare. The system's own
/// answer does not tell: one directory of the path that may not be searched makes it `permission
/// denied`.
fn is_there(program: &Path) -> bool {
    if program.components().count() > 1 || program.is_absolute() {
        return program.exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).exists())
}

fn prepare(client: &Client, entry: &Entry) -> Result<Command> {
    let Entry { name, at, read_only, command } = entry;
    let here = std::env::current_dir().ok();
    // Before the namespace changes, so that the holder sees this user as it is.
    let mut holder = client.hold()?;
    let ids = enter_private_mounts().map_err(mount::not_permitted)?;
    let run = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    let mount = mount::Here { directory: at, read_only: *read_only, run };
    mount::mount_here(client, &mut holder, name, mount, ids)?;
    // A process that stood in the directory stands in the branch now, at the same place if it is
    // there.
    let inside = here.filter(|here| here.starts_with(at));
    let stand = inside.filter(|here| here.is_dir()).unwrap_or_else(|| at.clone());
    std::env::set_current_dir(&stand).map_err(|error| Error::path("enter", &stand, error))?;
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::new(Code::Usage, "there is no command to run"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}
