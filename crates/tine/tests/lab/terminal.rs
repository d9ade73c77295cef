//! A terminal that a command prints on.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A terminal without a screen.
pub struct Terminal {
    screen: File,
    line: File,
}

impl Terminal {
    pub fn new() -> Terminal {
        let screen: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let name = std::ffi::OsStr::from_bytes(name.as_bytes());
        let line = OpenOptions::new().read(true).write(true).open(name).unwrap();
        Terminal { screen: screen.into(), line }
    }

    /// Runs a command with its output and its errors on the terminal. Returns its status, and what
    /// the terminal got.
    pub fn run(self, command: &mut Command) -> (i32, String) {
        let Terminal { mut screen, line } = self;
        let errors = line.try_clone().unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(line).stderr(errors).spawn().unwrap();
        // The command holds the terminal open until it has been started.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match screen.read(&mut piece) {
                // What has no process on it any more ends so.
                Ok(0) | Err(_) => break,
                Ok(count) => text.extend_from_slice(&piece[..count]),
            }
        }
        let status = child.wait().unwrap().code().unwrap_or(-1);
        // A terminal begins a line with both.
        (status, String::from_utf8(text).unwrap().replace("\r\n", "\n"))
    }
}
