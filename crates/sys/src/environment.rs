//! The environment of children of this process: almost empty.
//!
//! A user's environment holds passwords, tokens, and paths from which programs load code. None of
//! it is meant for a process that outlives the command, or that runs as another user. So a child
//! gets only what is named here, and what the caller adds. A command that the user asks to run gets
//! all of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

/// Variables of the locale, in addition to those that begin with `LC_`.
const LOCALE: [&str; 3] = ["LANG", "LANGUAGE", "TZ"];
/// The user that this process runs as, and where it finds things.
const IDENTITY: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR"];
/// The search path for another user, who may not be able to enter the directories of ours.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Gives `command` the locale, and the variables that say which user it runs as and where things
/// are.
pub fn of_this_user(command: &mut Command) -> &mut Command {
    carry(with_locale(command), &IDENTITY)
}

/// Gives `command` the locale, and the variables that say that it runs as the user `name`.
pub fn of_user<'a>(command: &'a mut Command, name: &str, home: &Path) -> &'a mut Command {
    with_locale(command);
    command.env("PATH", SYSTEM_PATH).env("HOME", home).env("USER", name).env("LOGNAME", name)
}

/// Gives `command` these variables of this process.
pub fn carry<'a>(command: &'a mut Command, names: &[&str]) -> &'a mut Command {
    carry_where(command, |name| names.iter().any(|carried| name == *carried))
}

/// Gives `command` the variables of this process whose names begin with `prefix`.
pub fn carry_all<'a>(command: &'a mut Command, prefix: &str) -> &'a mut Command {
    carry_where(command, |name| name.as_bytes().starts_with(prefix.as_bytes()))
}

fn with_locale(command: &mut Command) -> &mut Command {
    carry_all(carry(command.env_clear(), &LOCALE), "LC_")
}

fn carry_where(command: &mut Command, wanted: impl Fn(&OsStr) -> bool) -> &mut Command {
    command.envs(std::env::vars_os().filter(|(name, _)| wanted(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(command: &mut Command) -> Vec<String> {
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect()
    }

    #[test]
    fn a_child_finds_only_what_is_named() {
        const SECRET: &str = "TINE_TEST_SECRET";
        if std::env::var_os(SECRET).is_none() {
            let name = "environment::tests::a_child_finds_only_what_is_named";
            let mut again = Command::new(std::env::current_exe().unwrap());
            let again = again.args(["--exact", name]).env(SECRET, "x").env("LC_TIME", "C");
            assert!(again.status().unwrap().success());
            return;
        }
        let mut command = Command::new("/usr/bin/env");
        let own = names(of_this_user(&mut command));
        for name in &own {
            let known = LOCALE.iter().chain(&IDENTITY).any(|known| known == name);
            assert!(known || name == "LC_TIME" || name == "LC_ALL", "{name}");
        }
        assert!(own.contains(&"PATH".to_owned()) && own.contains(&"LC_TIME".to_owned()));
        let mut command = Command::new("/usr/bin/env");
        command.env("PGHOST", "before");
        let theirs = names(of_user(&mut command, "x", Path::new("/x")));
        assert!(!theirs.iter().any(|name| ["PGHOST", SECRET, "SHELL"].contains(&name.as_str())));
        let mut command = Command::new("/usr/bin/env");
        assert_eq!(names(carry(command.env_clear(), &[SECRET])), [SECRET]);
        assert_eq!(names(carry_all(command.env_clear(), "TINE_TEST_")), [SECRET]);
    }
}
