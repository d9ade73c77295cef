//! One command's connection to the holder.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::holder::call::Call;
use crate::holder::context::Context;
use crate::holder::execute::execute;
use crate::holder::limits;
use crate::holder::reserved::Reserved;
use crate::protocol::wire::{self, ClientMessage, Hello, PROTOCOL, Received, Reply};
use crate::protocol::{Code, Error, Progress, Result};

/// How often the progress of a request is reported.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Answers one command until it hangs up.
pub fn attend(context: &Context, stream: &UnixStream) -> io::Result<()> {
    wire::send(stream, &hello(Some(context)), &[])?;
    let reserved = Reserved::new(context);
    while let Some(Received { message, fds, lost }) = wire::receive_message(stream)? {
        let ClientMessage::Execute(request) = message else { continue };
        if lost {
            wire::send(stream, &failure(limits::no_descriptor()), &[])?;
            continue;
        }
        let progress = Progress::default();
        let takes_long = request.takes_long();
        let call = Call::new(context, fds, &progress).with_reserved(&reserved);
        let answer = match takes_long {
            false => execute(call, request)?,
            true => match while_listening(stream, &progress, || execute(call, request)) {
                Ok(answer) => answer?,
                Err(error) => failure(error).encode()?,
            },
        };
        wire::send_encoded(stream, &answer, &[])?;
    }
    Ok(())
}

/// The reply to a request that is not begun or not ended.
fn failure(error: Error) -> Reply<()> {
    Reply::Done(Err(error))
}

/// Tells a command why it is not taken on. One that has gone meanwhile need not know.
pub fn refuse(stream: &UnixStream, why: Error) {
    let Ok(why) = serde_json::to_value(why) else { return };
    let hello = Hello { refused: Some(why), ..hello(None) };
    let _ = wire::send(stream, &hello, &[]);
}

fn hello(context: Option<&Context>) -> Hello {
    Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        store: context.and_then(Context::identity),
        refused: None,
    }
}

/// Returns `true` if something can be read before the time is over.
pub fn readable(what: impl AsFd, timeout: Duration) -> bool {
    let timeout =
        Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    let mut fds = [PollFd::new(&what, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&timeout)), Ok(1..))
}

/// Does the work, tells how far it is, and stops it when the command says so or hangs up.
fn while_listening<T: Send>(
    stream: &UnixStream,
    progress: &Progress,
    work: impl FnOnce() -> T + Send,
) -> Result<T> {
    let (done, wait) = mpsc::channel();
    thread::scope(|scope| {
        thread::Builder::new()
            .name("copy".into())
            .spawn_scoped(scope, move || {
                // The other side waits for it below.
                let _ = done.send(work());
            })
            .map_err(limits::no_thread)?;
        let mut hung_up = false;
        loop {
            match wait.recv_timeout(TELL_EVERY) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(Code::Io, "the holder failed at the request")
                        .hint("this is a defect of tine; nothing was made"));
                }
            }
            if hung_up {
                continue;
            }
            hung_up = wire::send(stream, &Reply::<()>::Progress(progress.step()), &[]).is_err();
            if !hung_up && readable(stream, Duration::ZERO) {
                hung_up = !matches!(
                    wire::receive_message(stream),
                    Ok(Some(Received { message: ClientMessage::Cancel, .. }))
                );
                progress.cancel();
            }
            if hung_up {
                progress.cancel();
            }
        }
    })
}
