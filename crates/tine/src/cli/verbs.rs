//! Each verb of the command line, handed to the service.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;
use tine_service::commands::branch::{self, Fork};
use tine_service::commands::mount::{self, MountFlags};

use tine_service::commands::run::{After, Run};
use tine_service::commands::servers::{self, Start};
use tine_service::commands::{import_export, look, pg_import, repair, unmount, whole_branch};
use tine_service::protocol::answers::{Checked, Severity};
use tine_service::{
    Canceller, Client, Code, Error, Progress, ProgressHooks, Request, Response, Result,
};
use tine_store::Options;

use crate::args::{Cli, Global, Postgres, Verb};
use crate::progress::{Bar, Follower};
use crate::say::Voice;
use crate::{completions, interrupt, manual, run as running, settings};

/// Does what the command line says; the status to exit with.
pub fn perform(cli: Cli, voice: &Voice) -> Result<u8> {
    hide_secrets(&cli, voice);
    let (client, _) = reach_store(&cli.global)?;
    let response = match cli.verb {
        Verb::Init => client.init()?,
        Verb::Create { name } => client.call(Request::Create { name })?,
        Verb::Import { directory, name } => {
            watched(voice, |watch| import_export::import(&client, &directory, &name, watch))?
        }
        Verb::Export { name, directory } => {
            watched(voice, |watch| import_export::export(&client, &name, &directory, watch))?
        }
        Verb::Branch { new, from, count, ttl, no_flush } => {
            let fork = Fork { new, from, count, ttl_s: ttl, flush: !no_flush };
            branch::branch(&client, fork)?
        }
        Verb::Snapshot { name, snap } => branch::snapshot(&client, &name, &snap)?,
        Verb::List => client.call(Request::List)?,
        Verb::Usage { name } => client.call(Request::Usage { name })?,
        Verb::Rename { old, new } => whole_branch::rename(&client, &old, new)?,
        Verb::Delete { names, force } => whole_branch::delete(&client, names, force)?,
        Verb::Reset { name, to, force } => whole_branch::reset(&client, &name, to, force)?,
        Verb::Mount { name, directory, read_only, allow_other, suid, dev, foreground } => {
            let how = MountFlags { read_only, allow_other, suid, dev };
            return mount(&client, &name, &directory, how, foreground, voice);
        }
        Verb::Unmount { name, force } => unmount::unmount_any(&client, &name, force)?,
        Verb::Run { name, from, keep, discard, at, command } => {
            let after = match (keep, discard) {
                (true, _) => After::Keep,
                (_, true) => After::Discard,
                _ => After::KeepChanged,
            };
            return running::run(&client, Run { name, from, at, after, command }, voice);
        }
        Verb::Diff { name, other } => branch::diff(&client, &name, other.as_deref())?,
        Verb::Ls { name, path } => {
            let path = path.unwrap_or_default();
            Response::Entries(look::list(&client, &name, path.as_os_str().as_bytes())?)
        }
        Verb::Cat { .. } if voice.is_json() => return Err(no_json()),
        Verb::Cat { name, path } => {
            let path = path.as_os_str().as_bytes();
            return look::copy_out(&client, &name, path, &mut std::io::stdout()).map(|()| 0);
        }
        Verb::Check { repair_to: None } => client.call(Request::Check)?,
        Verb::Check { repair_to: Some(new) } => repair::repair(&client, &new)?,
        Verb::Postgres(verb) => postgres(&client, verb, voice)?,
        Verb::Completions { .. } | Verb::Man if voice.is_json() => return Err(no_json()),
        Verb::Completions { shell } => return completions::print(shell),
        Verb::Man => return manual::print(),
    };
    voice.result(&response)?;
    Ok(status(&response))
}

/// Takes a password that was given as an argument out of the sight of other users. What it is needed for
/// goes on if that fails; it has been seen by then.
fn hide_secrets(cli: &Cli, voice: &Voice) {
    let Verb::Postgres(Postgres::Import { uri, .. }) = &cli.verb else { return };
    let secrets = tine_service::postgres::secrets(uri);
    if secrets.is_empty() {
        return;
    }
    if let Err(error) = tine_sys::arguments::hide(uri.as_bytes(), &secrets) {
        let error = Error::io("other users may see the password in the list of processes", error);
        voice.complain(&error.hint("give it in PGPASSWORD or in ~/.pgpass"));
    }
}

fn no_json() -> Error {
    Error::new(Code::Usage, "this prints what is no JSON").hint("leave --json out")
}

/// A check that finds the store unsound has failed as a command, too, and so has a repair that lost something.
fn status(response: &Response) -> u8 {
    let unsound = |checked: &Checked| {
        checked.findings.iter().any(|finding| finding.severity != Severity::Warning)
    };
    match response {
        Response::Checked(checked) => u8::from(unsound(checked)),
        Response::Repaired(repaired) => u8::from(!repaired.lost.is_empty()),
        _ => 0,
    }
}

/// The way to the store that the command line is about, and how it is to be opened.
///
/// # Errors
/// When no place for a store is known, or a setting of the environment makes no sense.
pub fn reach_store(global: &Global) -> Result<(Client, Options)> {
    let options = settings::options()?;
    Ok((Client::new(&store_path(global)?, options.clone())?, options))
}

/// Flag, then environment, then the place that the desktop's rules name.
///
/// # Errors
/// When there is no home directory, and so no such place.
pub fn store_path(global: &Global) -> Result<PathBuf> {
    if let Some(path) = &global.store {
        return Ok(path.clone());
    }
    if let Some(path) = std::env::var_os("TINE_STORE").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    match etcetera::base_strategy::Xdg::new() {
        Ok(base) => Ok(base.data_dir().join("tine/store.tine")),
        Err(_) => Err(Error::new(Code::Usage, "there is no home directory to look for a store in")
            .hint("name the store with --store or TINE_STORE")),
    }
}

/// Follows long work: draws it on a terminal, and stops it on Ctrl-C.
fn watched(
    voice: &Voice,
    work: impl FnOnce(&mut ProgressHooks<'_>) -> Result<Response>,
) -> Result<Response> {
    let failed = |error| Error::io("preparing for signals", error);
    interrupt::hold_back().map_err(failed)?;
    let mut bar = Bar::new(voice.shows_progress());
    let mut begin = |canceller: Canceller| {
        // Without the watch a signal waits until the work has ended by itself.
        let _ = interrupt::watch(move || canceller.cancel());
    };
    let mut step = |step| bar.step(step);
    let result = work(&mut ProgressHooks { begin: &mut begin, step: &mut step });
    bar.end();
    result
}

fn mount(
    client: &Client,
    name: &str,
    directory: &Path,
    how: MountFlags,
    foreground: bool,
    voice: &Voice,
) -> Result<u8> {
    let failed = |error| Error::io("preparing for signals", error);
    if foreground {
        interrupt::hold_back().map_err(failed)?;
    }
    let response = mount::mount(client, name, directory, how)?;
    voice.result(&response)?;
    if foreground {
        let (other, branch, voice) = (client.clone(), name.to_owned(), *voice);
        let end = move || {
            if let Err(error) = unmount::unmount(&other, &branch, true) {
                voice.complain(&error);
            }
        };
        interrupt::watch(end).map_err(failed)?;
        mount::await_unmounted(client, name)?;
    }
    Ok(0)
}

fn postgres(client: &Client, verb: Postgres, voice: &Voice) -> Result<Response> {
    match verb {
        Postgres::Start { name, data_dir, port } => {
            servers::start(client, &name, &Start { data_dir, port })
        }
        Postgres::Stop { name } => servers::stop(client, &name),
        Postgres::List => servers::list(client),
        Postgres::Import { uri, name } => take_in(client, &uri, &name, voice),
    }
}

fn take_in(client: &Client, uri: &str, name: &str, voice: &Voice) -> Result<Response> {
    let progress = Arc::new(Progress::default());
    let mut follower = None;
    let mut begin = || {
        let watched = progress.clone();
        let begun = interrupt::hold_back()
            .and_then(|()| interrupt::watch(move || watched.cancel()))
            .and_then(|()| match voice.shows_progress() {
                true => Follower::new(progress.clone()).map(Some),
                false => Ok(None),
            });
        follower = begun.map_err(|error| Error::io("preparing for signals", error))?;
        Ok(())
    };
    pg_import::take_in(client, uri, name, &progress, &mut begin)
}
