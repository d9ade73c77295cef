//! The pass as an ordinary user: the same test programs without root's rights.
//!
//! Root passes through checks of permission and mounts without namespaces, so that its pass says little about
//! what most people have. The account is `daemon`: every Linux has it, and it is not 65534, which
//! user namespaces show for everybody they do not know.

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
const BECOME: &str = r#"
set -e
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
        if !may_run(&program.path)? {
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
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", BECOME, ACCOUNT]);
        command.arg(inner.get_program()).args(inner.get_args());
        if let Some(directory) = inner.get_current_dir() {
            command.current_dir(directory);
        }
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env("HOME", &self.0).env("TMPDIR", self.0.join("tmp"));
        command.env("XDG_RUNTIME_DIR", self.0.join("runtime")).env_remove("XDG_DATA_HOME");
        command.env("USER", ACCOUNT).env("LOGNAME", ACCOUNT);
        command
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: {} stays behind: {error}", self.0.display());
        }
    }
}

fn may_run(path: &Path) -> Result<bool> {
    let mut test = Command::new("setpriv");
    test.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups", "test", "-x"]).arg(path);
    Ok(process::output(&mut test)?.status.success())
}
