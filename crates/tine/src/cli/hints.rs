//! What to do about an error or a warning, in the words of this command line.

use tine_service::protocol::copies::Warning;
use tine_service::{Hint, UsedBy, Wanted};

/// A hint in words.
pub fn words(hint: &Hint) -> String {
    match hint {
        Hint::Text(text) => text.clone(),
        Hint::All(hints) => hints.iter().map(words).collect::<Vec<_>>().join("; "),
        Hint::PathsBehindDashes => {
            "`tine list` shows the branches; paths can be named behind `--`".into()
        }
        Hint::ListDirectory { branch } => format!("`tine ls {branch}` shows what is in it"),
        Hint::ExportInstead { branch } => format!(
            "a mount needs a socket beside the store, which cannot be made there: \
             `tine export {branch} DIR` copies the branch out, `tine ls {branch}` and `tine cat \
             {branch} PATH` look into it"
        ),
        Hint::SaveRemoved { branch } => format!(
            "if it was moved, move it back; if not, save each branch with `tine export {branch} \
             DIR`: all of it is gone when the last one is unmounted"
        ),
        Hint::SaveReplaced { directory } => format!(
            "copy what you need out of {0}, then take it off: `tine unmount {0}`",
            directory.display()
        ),
        Hint::UndoDelete { branch } => {
            format!("it was deleted: `tine undo {branch}` brings it back; `tine list` shows those there are")
        }
        Hint::RenameForUndo { branch } => format!(
            "a deleted branch had that name too: `tine rename {branch} OTHER` makes way, then `tine undo \
             {branch}` brings it back"
        ),
        Hint::ShowLog { branch } => format!("`tine log {branch}` shows its points"),
        Hint::ForkSnapshot { name } => {
            format!("work in a branch of it: `tine branch NEW --from {name}`")
        }
        Hint::ForkInstead { branch } => fork(branch),
        Hint::ForkMounted { branch } => {
            format!("`tine branch NEW --from {branch}` copies it at no cost, or unmount it first")
        }
        Hint::InUse { branch, by, wanted } => in_use(branch, *by, *wanted),
        Hint::UnmountDirectory { directory } => format!(
            "name another directory, or take it off first: `tine unmount {}`",
            directory.display()
        ),
        Hint::UnmountAll { branch } => format!(
            "`tine list` shows what is mounted; `tine unmount {branch}`, with --force if need be"
        ),
        Hint::UseOrStopServer { branch } => {
            format!("use it, or stop it with `tine postgres stop {branch}`")
        }
        Hint::MountForServer { branch } => format!(
            "`tine unmount {branch}` first; the server gets a mount of its own. Or mount it with \
             --allow-other"
        ),
        Hint::CopyConfiguration { of } => format!(
            "copy the configuration files of {of} into the data directory, inside the branch, or \
             take the server in with `tine postgres import`, which carries its settings"
        ),
        Hint::MakeStore => "make one with `tine init`, or name another with --store".into(),
        Hint::UseStoreOrNameAnother => "use it as it is, or name another path with --store".into(),
        Hint::NameStore => "name the path of a store with --store or TINE_STORE".into(),
        Hint::ReadOrCopyStore => {
            "`tine list`, `usage`, `diff`, `ls`, `cat`, `check`, `export` and `check --repair-to NEW` work all \
             the same; to change it, copy the file to a place that you can write"
                .into()
        }
        Hint::RepairStore => {
            "keep the file; `tine check --repair-to NEW` copies what is whole into a new store"
                .into()
        }
        Hint::CheckAndRepairStore => {
            "nothing was made; `tine check` says more, and `tine check --repair-to NEW` copies \
             what is whole"
                .into()
        }
        Hint::CheckDiskAndStore => {
            "nothing was made; check the disk and its cables, and run `tine check`".into()
        }
        Hint::RedoAfterUnmount => {
            "it counts until the store is closed, and may be gone after that; unmount its \
             branches, see with `tine list` what is there, and do the rest again"
                .into()
        }
        Hint::ListBranches => "`tine list` shows the branches there are".into(),
        Hint::ListMounts => "`tine list` shows what is mounted".into(),
        Hint::ImportFirst => "take a directory in first: `tine import DIR NAME`".into(),
        Hint::ImportAnew => "`tine import DIR NAME` takes a directory in that can be refreshed".into(),
        Hint::NameParent => "name it: --from NAME".into(),
        Hint::ForkWithoutFlush => "--no-flush takes what has been handed over so far".into(),
        Hint::MoveStoreOut => {
            "move the store out of that directory, and name it with --store or TINE_STORE".into()
        }
        Hint::MakeBranchForRun => "--from BASE makes it".into(),
        Hint::RunInFreshBranch => {
            "leave the name out, or add --from to run in a fresh branch".into()
        }
        Hint::NameRunDirectory => "say where the command finds it: --at DIR".into(),
        Hint::MakeOrNameRunDirectory => {
            "a directory must be there, empty or not; --at DIR names another".into()
        }
        Hint::ListServers => "`tine postgres list` shows those that do".into(),
        Hint::StartServerAgain { branch } => {
            format!("start it again with `tine postgres start {branch}`")
        }
        Hint::NamePort => "name another with --port, or leave --port out for a free one".into(),
        Hint::NameDataDirectory => "name it with --data-dir PATH, relative to the branch".into(),
        Hint::ChooseDataDirectory => "choose one with --data-dir PATH".into(),
        Hint::ImportOrStopServer => {
            "take it in while it runs with `tine postgres import URI NAME`, or stop it first".into()
        }
        Hint::ImportServerOrReplaceLinks => {
            "take the server in with `tine postgres import`, which carries its log and \
             tablespaces, or stop it, put in place of each link what it leads to, and import the \
             directory again"
                .into()
        }
        Hint::ImportServerWithTablespaces => {
            "take the server in with `tine postgres import`, which carries its tablespaces".into()
        }
    }
}

fn fork(branch: &str) -> String {
    format!("make a branch of it: `tine branch NEW --from {branch}`")
}

fn in_use(branch: &str, by: UsedBy, wanted: Wanted) -> String {
    let stop = format!("stop it first: `tine postgres stop {branch}`");
    let end = match by {
        UsedBy::Command => "wait until that command has ended",
        _ => "end that",
    };
    match (by, wanted) {
        (UsedBy::Server, Wanted::Unmounted | Wanted::Changed) => {
            format!("{stop}; or add --force to cut it off")
        }
        (UsedBy::Server, Wanted::Renamed) => stop,
        (UsedBy::Server, Wanted::Entered) => format!("{stop}; or {}", fork(branch)),
        (UsedBy::Mount, Wanted::Unmounted) => {
            "leave that directory, and end what works in it; or add --force".into()
        }
        (UsedBy::Mount, Wanted::Changed) => {
            format!("`tine unmount {branch}` first, or add --force to detach it")
        }
        (UsedBy::Mount, Wanted::Renamed) => format!("`tine unmount {branch}` first"),
        (UsedBy::Mount | UsedBy::Command, Wanted::Entered) => fork(branch),
        (_, Wanted::Unmounted | Wanted::Changed) => {
            format!("{end}, or add --force to cut it off")
        }
        (_, Wanted::Renamed) => {
            format!("{end}, or cut it off: `tine unmount {branch} --force`")
        }
        (UsedBy::Leftovers, Wanted::Entered) => {
            format!("{end}, or cut it off: `tine unmount {branch} --force`; or {}", fork(branch))
        }
    }
}

/// A warning in words.
pub fn warning(warning: &Warning) -> String {
    match warning {
        Warning::Text(text) => text.clone(),
        Warning::ClusterLinksOut { directory, links } => format!(
            "`tine postgres start` will refuse {}: a server on the branch would write to what is \
             outside of it, by {links}. Import the server with `tine postgres import` while it \
             runs, or put in place of each link what it leads to",
            directory.display()
        ),
        Warning::ClusterRefused { directory, why } => {
            format!("`tine postgres start` will refuse {}: {why}", directory.display())
        }
        Warning::ClusterWithoutConfiguration { directory, elsewhere } => {
            let place = match elsewhere {
                Some(file) => format!(", which was at {},", file.display()),
                None => String::new(),
            };
            format!(
                "`tine postgres start` will refuse {}: its postgresql.conf{place} is not in it. \
                 Copy the configuration files into it inside the branch, or import the server \
                 with `tine postgres import` while it runs",
                directory.display()
            )
        }
    }
}
