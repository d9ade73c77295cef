//! Each verb of the command line, handed to the service.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use tine_service::commands::branch::{self, NewBranches};
use tine_service::commands::mount::{self, MountFlags};
use tine_service::commands::pg_import::{self, ImportedServer};
use tine_service::commands::run::{After, Run};
use tine_service::commands::servers::{self, Start};
use tine_service::commands::{import_export, look, refresh, repair, status, unmount, whole_branch};
use tine_service::protocol::branches::Create;
use tine_service::protocol::check::Check;
use tine_service::protocol::history::Log;
use tine_service::protocol::usage::{MeasureBranch, MeasureStore};
use tine_service::{Canceller, Client, Code, Error, Progress, ProgressHooks, Result};

use crate::args::{Cli, Postgres, Verb};
use crate::output::Output;
use crate::progress::{Bar, ProgressThread};
use crate::report::{Done, Listing, Made, Stopped};
use crate::store::reach_store;
use crate::{completions, diff, interrupt, manual, pager, run as running};

/// Does what the command line says; the status to exit with.
pub fn perform(cli: Cli, output: &Output) -> Result<u8> {
    hide_secrets(&cli, output);
    let (client, _) = reach_store(&cli.global)?;
    let done = perform_on(&client, cli.verb, output);
    client.take_warnings().iter().for_each(|warning| output.warning(warning));
    done
}

fn perform_on(client: &Client, verb: Verb, output: &Output) -> Result<u8> {
    match verb {
        Verb::Init => {
            client.init()?;
            output.report(&Made { store: client.store().to_owned() })
        }
        Verb::Create { name } => {
            client.ask(Create { name: name.clone() })?;
            output.report(&Done { branch: name })
        }
        Verb::Import { directory, name } => {
            let work = |hooks: &mut ProgressHooks<'_>| {
                import_export::import(client, &directory, &name, hooks)
            };
            output.report(&with_progress(output, work)?)
        }
        Verb::Refresh { name } => {
            let work = |hooks: &mut ProgressHooks<'_>| refresh::refresh(client, &name, hooks);
            output.report(&with_progress(output, work)?)
        }
        Verb::Export { name, directory } => {
            let work = |hooks: &mut ProgressHooks<'_>| {
                import_export::export(client, &name, &directory, hooks)
            };
            output.report(&with_progress(output, work)?)
        }
        Verb::Branch { new, from, count, ttl, no_flush } => {
            let new = NewBranches { new, from, count, ttl_s: ttl, flush: !no_flush };
            output.report(&branch::fork(client, new)?)
        }
        Verb::Snapshot { name, snap } => {
            output.report(&vec![branch::snapshot(client, &name, &snap)?])
        }
        Verb::List => output.report(&branch::list(client)?),
        Verb::Usage { name: None } => output.report(&client.ask(MeasureStore)?),
        Verb::Usage { name: Some(name) } => output.report(&client.ask(MeasureBranch { name })?),
        Verb::Status { name: None } => output.report(&status::store(client)?),
        Verb::Status { name: Some(name) } => output.report(&status::branch(client, &name)?),
        Verb::Rename { old, new } => {
            whole_branch::rename(client, &old, new.clone())?;
            output.report(&Done { branch: new })
        }
        Verb::Delete { names, force, now } => {
            output.report(&whole_branch::delete(client, names, force, now)?)
        }
        Verb::Log { name, paging } => pager::report(&client.ask(Log { name })?, paging, output),
        Verb::Undo { name, redo, force } => {
            output.report(&whole_branch::undo(client, &name, redo, force)?)
        }
        Verb::Reset { name, to, force } => {
            whole_branch::reset(client, &name, to, force)?;
            output.report(&Done { branch: name })
        }
        Verb::Mount { name, directory, read_only, allow_other, suid, dev, foreground } => {
            let flags = MountFlags { read_only, allow_other, suid, dev };
            mount(client, &name, &directory, flags, foreground, output)
        }
        Verb::Unmount { name, force } => {
            output.report(&Done { branch: unmount::unmount_any(client, &name, force)? })
        }
        Verb::Run { name, from, keep, discard, at, command } => {
            let after = match (keep, discard) {
                (true, _) => After::Keep,
                (_, true) => After::Discard,
                _ => After::KeepChanged,
            };
            running::run(client, Run { name, from, at, after, command }, output)
        }
        Verb::Diff(arguments) => diff::diff(client, arguments, output),
        Verb::Ls { name, path } => {
            let path = path.unwrap_or_default();
            let entries = look::list(client, &name, path.as_os_str().as_bytes())?;
            output.report(&Listing { branch: name, entries })
        }
        Verb::Cat { .. } | Verb::Completions { .. } | Verb::Man if output.is_json() => {
            Err(no_json())
        }
        Verb::Cat { name, path } => {
            let path = path.as_os_str().as_bytes();
            look::copy_out(client, &name, path, &mut std::io::stdout()).map(|()| 0)
        }
        Verb::Check { repair_to: None } => output.report(&client.ask(Check)?),
        Verb::Check { repair_to: Some(new) } => output.report(&repair::repair(client, &new)?),
        Verb::Postgres(verb) => postgres(client, verb, output),
        Verb::Completions { shell } => completions::print(shell),
        Verb::Man => manual::print(),
    }
}

/// Takes a password that was given as an argument out of the sight of other users. What it is
/// needed for goes on if that fails; it has been seen by then.
fn hide_secrets(cli: &Cli, output: &Output) {
    let Verb::Postgres(Postgres::Import { uri, .. }) = &cli.verb else { return };
    let secrets = tine_service::postgres::secrets(uri);
    if secrets.is_empty() {
        return;
    }
    if let Err(error) = tine_sys::arguments::hide(uri.as_bytes(), &secrets) {
        let error = Error::io("other users may see the password in the list of processes", error);
        output.error(&error.hint("give it in PGPASSWORD or in ~/.pgpass"));
    }
}

fn no_json() -> Error {
    Error::new(Code::Usage, "the output of this command is not JSON").hint("leave --json out")
}

/// Does long work: draws how far it is on a terminal, and stops it on Ctrl-C.
fn with_progress<T>(
    output: &Output,
    work: impl FnOnce(&mut ProgressHooks<'_>) -> Result<T>,
) -> Result<T> {
    let failed = |error| Error::io("preparing for signals", error);
    interrupt::block_signals().map_err(failed)?;
    let mut bar = Bar::new(output.shows_progress());
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
    flags: MountFlags,
    foreground: bool,
    output: &Output,
) -> Result<u8> {
    let failed = |error| Error::io("preparing for signals", error);
    if foreground {
        interrupt::block_signals().map_err(failed)?;
    }
    let mounted = mount::mount(client, name, directory, flags)?;
    output.report(&mounted)?;
    if foreground {
        let (other, branch, output) = (client.clone(), name.to_owned(), *output);
        let end = move || {
            if let Err(error) = unmount::unmount(&other, &branch, true) {
                output.error(&error);
            }
        };
        interrupt::watch(end).map_err(failed)?;
        mount::await_unmounted(client, name)?;
    }
    Ok(0)
}

fn postgres(client: &Client, verb: Postgres, output: &Output) -> Result<u8> {
    match verb {
        Postgres::Start { name, data_dir, port } => {
            output.report(&servers::start(client, &name, &Start { data_dir, port })?)
        }
        Postgres::Stop { name } => {
            let ended = servers::stop(client, &name)?;
            output.report(&Stopped { branch: name, ended })
        }
        Postgres::List => output.report(&servers::list(client)?),
        Postgres::Import { uri, name } => {
            output.report(&import_server(client, &uri, &name, output)?)
        }
    }
}

fn import_server(
    client: &Client,
    uri: &str,
    name: &str,
    output: &Output,
) -> Result<ImportedServer> {
    let progress = Arc::new(Progress::default());
    let mut thread = None;
    let mut begin = || {
        let watched = progress.clone();
        let begun = interrupt::block_signals()
            .and_then(|()| interrupt::watch(move || watched.cancel()))
            .and_then(|()| match output.shows_progress() {
                true => ProgressThread::new(progress.clone()).map(Some),
                false => Ok(None),
            });
        thread = begun.map_err(|error| Error::io("preparing for signals", error))?;
        Ok(())
    };
    pg_import::import(client, uri, name, &progress, &mut begin)
}
