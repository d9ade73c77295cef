//! The command line, defined once: parser, help, man page and completions derive from this file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::{ArgValueCandidates, Shell};
use tine_service::protocol::time::seconds;

use crate::candidates::branches;
use crate::global::Global;

/// What-if for a whole running application: O(1) writable branches of directories and databases.
#[derive(Debug, Parser)]
#[command(name = "tine", version, propagate_version = true)]
#[command(
    after_help = "Names are 1 to 128 of letters, digits, `. _ - /`, and start with none of `- .`.\n\
    Exit status: 0 done, 1 failed, 2 wrong usage; `tine run` gives the command's own.\n\
    TINE_CACHE_MIB bounds the memory for parts of the store that were read [default: 64].\n\
    TINE_POINTS_PERCENT bounds what `tine undo` keeps, in percent of the store and of what its disk has free \
    [default: 10]."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make an empty store
    Init,
    /// Make an empty branch
    Create {
        /// The branch to make
        name: String,
    },
    /// Copy a directory into a new branch
    Import {
        /// The directory
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
        /// The branch to make
        name: String,
    },
    /// Bring an import up to date with its directory; only what changed is read
    #[command(
        after_help = "The branch NAME follows its import, unless it has changes of its own or is mounted."
    )]
    Refresh {
        /// The import, or the branch that was made from it
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
    },
    /// Copy a branch out to a directory, without FUSE
    Export {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        /// The directory to make; it may exist if it is empty
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
    /// Fork a branch, in microseconds
    Branch {
        /// The branch to make
        new: String,
        /// The branch or snapshot to fork [default: the root branch, if there is exactly one]
        #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(branches))]
        from: Option<String>,
        /// Make NEW-1 to NEW-N
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: Option<u32>,
        /// Let it be deleted after this time, such as 90s, 30m, 2h or 7d
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        ttl: Option<u64>,
        /// Fork only what the kernel has already written back; do not flush the mount first
        #[arg(long)]
        no_flush: bool,
    },
    /// Make a read-only snapshot of a branch
    Snapshot {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        /// The snapshot to make
        snap: String,
    },
    /// Draw the tree of branches, with their sizes
    #[command(
        after_help = "SIZE is what a branch reaches, OWN what only it reaches, SHARED the part that others reach too.\n\
        Computing OWN stops after one second; rows not finished show `?`, and `tine usage NAME` computes them."
    )]
    List,
    /// Show the space used by the store or by one branch
    Usage {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: Option<String>,
    },
    /// What a branch stands on and who uses it; without NAME, how the store stands
    Status {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: Option<String>,
    },
    /// Give a branch another name
    Rename {
        /// The name it has
        #[arg(add = ArgValueCandidates::new(branches))]
        old: String,
        /// The name it gets
        new: String,
    },
    /// Delete branches or snapshots; `tine undo` brings one back for 7 days
    ///
    /// What was made from them stays.
    Delete {
        /// The branches
        #[arg(required = true, value_name = "NAME", add = ArgValueCandidates::new(branches))]
        names: Vec<String>,
        /// Delete mounted ones too: they are detached first
        #[arg(long)]
        force: bool,
        /// Delete them for good: `tine undo` does not bring them back
        #[arg(long)]
        now: bool,
    },
    /// The history of a branch: a point before each change of the branch as a whole
    #[command(
        after_help = "NAME@3 is point 3, NAME@-1 the branch before its last change, NAME@{2h} as it was two hours ago;\n\
        each can be used wherever a branch is only read. After `tine delete` the log says until when \
        the branch can be brought back."
    )]
    Log {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// Take a branch back before its last change, or bring a deleted one back
    #[command(
        after_help = "Repeated, it goes further back. What the branch is now is kept: --redo returns to it, until the \
        branch is changed."
    )]
    Undo {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        /// Take it forward again, to what it was before the last undo
        #[arg(long)]
        redo: bool,
        /// Take a mounted one back too: it is detached first
        #[arg(long)]
        force: bool,
    },
    /// Put a branch back to its fork point, or to what another holds
    Reset {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        /// The branch or snapshot whose content it takes
        #[arg(long, value_name = "SNAP", add = ArgValueCandidates::new(branches))]
        to: Option<String>,
        /// Reset a mounted one too: it is detached first
        #[arg(long)]
        force: bool,
    },
    /// Mount a branch on an empty directory
    Mount {
        /// The branch; a snapshot is read-only
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        /// The directory
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
        /// Refuse writes
        #[arg(long)]
        read_only: bool,
        /// Let other users in
        #[arg(long)]
        allow_other: bool,
        /// Honour set-user-id and set-group-id bits and file capabilities; for root only
        #[arg(long)]
        suid: bool,
        /// Honour device nodes; for root only
        #[arg(long)]
        dev: bool,
        /// Stay until it is unmounted; Ctrl-C unmounts it
        #[arg(long)]
        foreground: bool,
    },
    /// Take the mount of a branch off its directory
    Unmount {
        /// The branch, or the directory that it is mounted on
        #[arg(value_name = "NAME|DIR", value_hint = ValueHint::DirPath, add = ArgValueCandidates::new(branches))]
        name: PathBuf,
        /// End it although it is in use, in other mount namespaces too: programs that work in it
        /// get errors
        #[arg(long)]
        force: bool,
    },
    /// Run a command inside a branch that is mounted for it alone, then say what changed
    #[command(
        after_help = "Without NAME the command runs in a fresh branch, which stays if something changed in it.\n\
        -v lists every change instead of the first ones; it has no effect on other commands."
    )]
    Run {
        /// The branch; with --from it is made
        #[arg(add = ArgValueCandidates::new(branches))]
        name: Option<String>,
        /// What a fresh branch is made from [default: the root branch, if there is exactly one]
        #[arg(long, value_name = "BASE", add = ArgValueCandidates::new(branches))]
        from: Option<String>,
        /// Keep the fresh branch even if nothing changed in it
        #[arg(long, conflicts_with = "discard")]
        keep: bool,
        /// Delete the fresh branch whatever changed in it
        #[arg(long)]
        discard: bool,
        /// Where the command finds the branch [default: the directory it was imported from]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        at: Option<PathBuf>,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
        command: Vec<OsString>,
    },
    /// What changed since the fork point, or from one branch to another
    #[command(
        after_help = "The word behind NAME is the other branch if there is one of that name, and a path otherwise;\n\
        behind `--` all words are paths. A path is one from the root of the branch. Below the directory\n\
        that the branch was imported from or is mounted on, a relative path starts where you are.\n\
        A path stands for all that is below it."
    )]
    Diff(DiffArgs),
    /// What is in a directory of a branch, without a mount
    Ls {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        /// The path from the root of the branch [default: the root]
        path: Option<PathBuf>,
    },
    /// Print a file of a branch, without a mount
    Cat {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        /// The path from the root of the branch
        path: PathBuf,
    },
    /// PostgreSQL servers on branches
    #[command(subcommand)]
    Postgres(Postgres),
    /// Verify the whole store
    Check {
        /// Copy what is whole into a new store at this path, and say what was lost
        #[arg(long, value_name = "NEW")]
        repair_to: Option<PathBuf>,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The branch, or a point of one
    #[arg(add = ArgValueCandidates::new(branches))]
    pub name: String,
    /// The branch, snapshot or point to compare with, from NAME to OTHER; and paths to compare
    #[arg(value_name = "OTHER|PATH", add = ArgValueCandidates::new(branches))]
    pub words: Vec<OsString>,
    /// Paths to compare
    #[arg(last = true, value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// How many lines, or bytes of what is no text, each file lost and gained
    #[arg(long, conflicts_with_all = ["patch", "name_only"])]
    pub stat: bool,
    /// A patch for `git apply` and `patch -p1`
    #[arg(long, short, conflicts_with = "name_only")]
    pub patch: bool,
    /// The paths alone, one a line
    #[arg(long)]
    pub name_only: bool,
    /// With --name-only: end each path with a NUL, and print its own bytes
    #[arg(long, short = 'z', requires = "name_only", conflicts_with = "json")]
    pub null: bool,
    #[command(flatten)]
    pub paging: Paging,
}

/// What a command has that prints much.
#[derive(Clone, Copy, Debug, Args)]
pub struct Paging {
    /// On a terminal, print without $TINE_PAGER, $PAGER or `less`
    #[arg(long)]
    pub no_pager: bool,
}

#[derive(Debug, Subcommand)]
pub enum Postgres {
    /// Start a server on a branch, and print how to reach it
    Start {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
        /// The data directory inside the branch [default: the only one there is]
        #[arg(long, value_name = "PATH")]
        data_dir: Option<PathBuf>,
        /// The TCP port [default: a free one]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
    },
    /// Stop the server of a branch
    Stop {
        /// The branch
        #[arg(add = ArgValueCandidates::new(branches))]
        name: String,
    },
    /// The servers that run
    List,
    /// Take in the data of a running server through its base-backup protocol
    Import {
        /// The server, as for psql: a URI such as postgresql://user@host:5432/db, or `host=…
        /// user=…`
        ///
        /// A password is better in PGPASSWORD or ~/.pgpass: arguments can be seen for a moment.
        uri: String,
        /// The branch to make
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_to_run_keeps_its_own_flags() {
        let cli = Cli::try_parse_from(["tine", "run", "--", "ls", "--json", "-l"]).unwrap();
        assert!(!cli.global.json);
        let Verb::Run { command, name: None, .. } = cli.verb else { panic!() };
        assert_eq!(command, ["ls", "--json", "-l"]);
    }
}
