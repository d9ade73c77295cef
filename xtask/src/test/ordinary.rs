//! The pass as an ordinary user: the same test programs without root's rights.
//!
//! Root passes through checks of permission and mounts without namespaces, so that its pass says
//! little about what most people have. The account is `daemon`: every Linux has it, and it is not
//! 65534, which user namespaces show for everybody they do not know.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::programs::{self, Program};
use super::tally::Tally;
use crate::process;
use crate::workspace::Workspace;

const ACCOUNT: &str = "daemon";

/// Mounts a private `/dev/fuse` that everybody may open, then becomes the account. An ordinary
/// machine has it open to all; some containers and virtual machines do not.
///
/// The workspace may lie below a directory that only its owner passes through, such as a home of
/// mode 0700. In this mount namespace an empty directory takes the place of each such one
/// (`TINE_SHUT`, a path a line), with nothing in it but the way to the workspace and to what cargo
/// built.
const BECOME: &str = r#"
set -e
umask 022
if [ -n "$TINE_SHUT" ]; then
    mkdir -p "$HOME/root" "$HOME/target"
    mount --bind "$TINE_ROOT" "$HOME/root"
    mount --bind "$TINE_TARGET" "$HOME/target"
    printf '%s\n' "$TINE_SHUT" | while read -r shut; do
        mount -t tmpfs -o mode=755 tmpfs "$shut"
    done
    mkdir -p "$TINE_ROOT" && mount --bind "$HOME/root" "$TINE_ROOT"
    mkdir -p "$TINE_TARGET" && mount --bind "$HOME/target" "$TINE_TARGET"
    cd "$TINE_DIRECTORY"
fi
if [ -c /dev/fuse ] && [ "$(stat -c %a /dev/fuse)" != 666 ]; then
    [ -c "$HOME/fuse" ] || { mknod "$HOME/fuse" c 10 229 && chmod 666 "$HOME/fuse"; } &&
        mount --bind "$HOME/fuse" /dev/fuse
fi
exec setpriv --reuid="$0" --regid="$0" --clear-groups -- "$@"
"#;

/// Runs every test program once more as the ordinary user, when this run is root's.
pub fn run(workspace: &Workspace, programs: &[Program], tally: &mut Tally) -> Result<()> {
    if !process::is_root() {
        return Ok(());
    }
    println!("\ntests as an ordinary user ({ACCOUNT})");
    let home = Home::new()?;
    for program in programs {
        let name = format!("as {ACCOUNT}: {}", program.name);
        if !home.may_run(program, workspace)? {
            tally.skip(&format!("{name}: {ACCOUNT} may not reach {}", program.path.display()));
            continue;
        }
        let mut command = home.command(program, workspace);
        tally.add(&name, programs::run(workspace, &name, &mut command)?);
    }
    Ok(())
}

/// A home directory for the account, gone afterwards.
struct Home(PathBuf);

impl Home {
    fn new() -> Result<Self> {
        let home = std::env::temp_dir().join(format!("tine-test-{}", std::process::id()));
        let make = |directory: &Path| -> Result<()> {
            fs::create_dir_all(directory)
                .with_context(|| format!("make {}", directory.display()))?;
            process::run(Command::new("chown").arg(ACCOUNT).arg(directory))
        };
        make(&home)?;
        make(&home.join("tmp"))?;
        make(&home.join("runtime"))?;
        fs::set_permissions(home.join("runtime"), Permissions::from_mode(0o700))?;
        Ok(Self(home))
    }

    /// The program's command inside a private mount namespace, as the account.
    fn command(&self, program: &Program, workspace: &Workspace) -> Command {
        let inner = program.command(workspace);
        let mut command = self.inside(workspace, inner.get_current_dir());
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }

    /// Returns `true` if the account reaches the program.
    fn may_run(&self, program: &Program, workspace: &Workspace) -> Result<bool> {
        let mut test = self.inside(workspace, None);
        test.args(["test", "-x"]).arg(&program.path);
        Ok(process::output(&mut test)?.status.success())
    }

    /// What goes before the words of a command that the account runs in a private mount namespace.
    fn inside(&self, workspace: &Workspace, directory: Option<&Path>) -> Command {
        let directory = directory.unwrap_or(&workspace.root);
        let shut: BTreeSet<&Path> =
            [&*workspace.root, &workspace.target].into_iter().filter_map(shut_above).collect();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", BECOME, ACCOUNT]).current_dir(directory);
        let lines: Vec<&OsStr> = shut.iter().map(|path| path.as_os_str()).collect();
        command.env("TINE_SHUT", lines.join(OsStr::new("\n"))).env("TINE_DIRECTORY", directory);
        command.env("TINE_ROOT", &workspace.root).env("TINE_TARGET", &workspace.target);
        command.env("HOME", &self.0).env("TMPDIR", self.0.join("tmp"));
        command.env("XDG_RUNTIME_DIR", self.0.join("runtime")).env_remove("XDG_DATA_HOME");
        command.env("USER", ACCOUNT).env("LOGNAME", ACCOUNT);
        command
    }
}

/// The first directory above a path that lets only its owner or its group pass through.
fn shut_above(path: &Path) -> Option<&Path> {
    let above: Vec<&Path> = path.ancestors().skip(1).collect();
    let open = |directory: &&Path| {
        fs::metadata(directory).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    above.into_iter().rev().find(|directory| !open(directory))
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: {} stays behind: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_that_is_shut_is_found() {
        let place = std::env::temp_dir().join(format!("tine-shut-{}", std::process::id()));
        let inner = place.join("shut/inner/workspace");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(shut_above(&inner), None);
        for directory in ["shut", "shut/inner"] {
            fs::set_permissions(place.join(directory), Permissions::from_mode(0o700)).unwrap();
        }
        assert_eq!(shut_above(&inner), Some(&*place.join("shut")));
        fs::remove_dir_all(&place).unwrap();
    }
}
