//! Children: one that behaves as if it were run directly, and one that outlives its parent.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open, setsid};

use crate::signals::{Signal, Signals, set_mask};

/// Runs `command` to its end and returns its status, passing on the signals that are meant for it.
///
/// Signals of the terminal reach the child directly. A signal that another process sends to this
/// one is forwarded. This process survives both and can clean up afterwards. Call this from the
/// only thread, or block these signals in all other threads: a thread that receives one ends this
/// process.
///
/// # Errors
/// If the command cannot be started, or the kernel cannot report its end (Linux before 5.3).
pub fn run_in_foreground(command: &mut Command) -> io::Result<ExitStatus> {
    let signals = Signals::block(&[
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::TERM,
        Signal::USR1,
        Signal::USR2,
    ])?;
    let mask = signals.mask_before();
    // SAFETY: the closure only sets the signal mask, which is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            let mut ignored = mask;
            set_mask(libc::SIG_SETMASK, &mask, &mut ignored)
        });
    }
    let mut child = command.spawn()?;
    let forwarded = forward_signals(&child, &signals);
    if forwarded.is_err() {
        // Signals could not be forwarded to it any more.
        child.kill()?;
    }
    let status = child.wait()?;
    forwarded.map(|()| status)
}

/// Forwards `signals` to `child` until it has ended. A descriptor reports the end, and not a
/// signal, which any other thread of this process might take.
fn forward_signals(child: &Child, signals: &Signals) -> io::Result<()> {
    let number = Pid::from_child(child);
    let end = pidfd_open(number, PidfdFlags::empty())?;
    while let Some(caught) = signals.wait_or_readable(end.as_fd())? {
        if !caught.from_kernel {
            // The child is not reaped yet, so its number is not reused. It may have just exited.
            let _ = kill_process(number, caught.signal);
        }
    }
    Ok(())
}

/// Makes `command` start in a new session, without a terminal and with its standard streams on
/// `/dev/null`, so that it continues when its parent and the parent's terminal are gone. It gets no
/// other descriptor: an inherited lock or pipe would stay open for as long as it runs.
///
/// A stream set afterwards takes precedence.
pub fn detached(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: setsid is one async-signal-safe system call, and `close_inherited` makes only such
    // calls.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            close_inherited();
            Ok(())
        })
    }
}

/// Marks every descriptor except the standard streams to be closed on exec. It allocates nothing,
/// and makes only calls that are async-signal-safe.
fn close_inherited() {
    const FIRST: libc::c_uint = 3;
    /// Before Linux 5.11 they are marked one by one. Inherited descriptors have low numbers.
    const MANY: libc::c_int = 1024;
    // SAFETY: the call takes three numbers. With this flag it closes nothing now.
    let all = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
        )
    };
    if all != 0 {
        for descriptor in FIRST as libc::c_int..MANY {
            // SAFETY: it sets a flag of a descriptor, and fails for one that is not open.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Runs `work` in a child of `fork(2)`, for tests of what a child inherits. The exit status is what
/// `work` returns, or 101 if it panics.
///
/// Locks that other threads hold at that moment stay locked in the child forever.
///
/// # Errors
/// If no further process can be made.
#[cfg(any(test, feature = "forks"))]
pub fn fork_and_wait(work: impl FnOnce() -> u8) -> io::Result<ExitStatus> {
    use std::os::unix::process::ExitStatusExt;

    // SAFETY: the child runs `work` on a copy of this thread and ends without unwinding into the
    // caller.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(ended.unwrap_or(101))) }
        }
        child => {
            let mut status = 0;
            loop {
                // SAFETY: waits for the child made above, and writes its status into a local.
                if unsafe { libc::waitpid(child, &mut status, 0) } == child {
                    return Ok(ExitStatus::from_raw(status));
                }
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Names the calling thread. For the main thread, `ps` and `top` show this as the name of the
/// process. The kernel keeps 15 bytes of it.
pub fn set_thread_name(name: &std::ffi::CStr) {
    // It fails only for memory that cannot be read, which a string of this process is not.
    let _ = rustix::thread::set_name(name);
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_status_of_the_command_is_passed_on() {
        let status = run_in_foreground(Command::new("sh").args(["-c", "exit 7"])).unwrap();
        assert_eq!(status.code(), Some(7));
        let status = run_in_foreground(Command::new("sh").args(["-c", "kill -9 $$"])).unwrap();
        assert_eq!(status.signal(), Some(9));
    }

    #[test]
    fn a_signal_sent_to_this_process_reaches_the_command() {
        const ALONE: &str = "TINE_TEST_ALONE";
        let answer =
            "trap 'exit 3' USR2; kill -USR2 $PPID; for i in $(seq 500); do sleep 0.01; done";
        let usr2 = Signals::block(&[Signal::USR2]).unwrap();
        if std::env::var_os(ALONE).is_some() {
            // All threads of this process started with the signal blocked. This one unblocks it.
            set_mask(libc::SIG_UNBLOCK, usr2.set(), &mut usr2.mask_before()).unwrap();
            let status = run_in_foreground(Command::new("sh").args(["-c", answer])).unwrap();
            assert_eq!(status.code(), Some(3));
            return;
        }
        let name = "process::tests::a_signal_sent_to_this_process_reaches_the_command";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let status = alone.args(["--exact", name]).env(ALONE, "1").status().unwrap();
        assert!(status.success());
    }

    #[test]
    fn commands_end_though_other_threads_would_take_the_signal_of_their_end() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        assert!(run_in_foreground(&mut Command::new("true")).unwrap().success());
                    }
                });
            }
        });
    }

    #[test]
    fn a_missing_command_is_an_error() {
        let error = run_in_foreground(&mut Command::new("/no/such/command")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_detached_child_leads_its_own_session() {
        let output =
            detached(Command::new("sh").args(["-c", "cut -d' ' -f1,6 /proc/self/stat; echo $$"]))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
                .wait_with_output()
                .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        let session = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        assert_eq!(Some(session.as_str()), lines.next());
    }

    #[test]
    fn a_detached_child_keeps_no_descriptor_of_the_caller() {
        let (ours, theirs) = std::io::pipe().unwrap();
        rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty()).unwrap();
        let mut child = detached(Command::new("sleep").arg("60")).spawn().unwrap();
        drop(theirs);
        // The end of the stream: the child does not hold the other side open.
        let text = std::io::read_to_string(ours).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(text, "");
    }
}
