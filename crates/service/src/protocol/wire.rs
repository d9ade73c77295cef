//! The words that a command and the holder exchange, and how they are framed on their socket.
//!
//! A frame is its length (u32, little endian) and that many bytes of JSON. The holder speaks first:
//! [`Hello`]. Then the command sends one [`ClientMessage`] after the other; each request is answered by any
//! number of [`Reply::Progress`] and one [`Reply::Done`]. Descriptors travel with a request's first byte.

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tine_sys::descriptors;

use crate::protocol::identity::Identity;
use crate::protocol::progress::ProgressUpdate;
use crate::protocol::{Error, Request, Response};

/// Changes whenever a message changes; both sides come from one binary, so it seldom matters.
pub const PROTOCOL: u32 = 2;

/// No request comes near it; more is not a request.
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Room for a list of a million changes.
const REPLY_BYTES_MAX: usize = 1 << 30;

/// The first words of the holder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Its [`PROTOCOL`].
    pub protocol: u32,
    /// Its version, for messages.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The store that it holds, which need not be the one at the path any more.
    #[serde(default)]
    pub store: Option<Identity>,
    /// Why it cannot take the command on; it hangs up after that.
    #[serde(default)]
    pub refused: Option<Error>,
}

/// What a command says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMessage {
    /// Do this.
    Execute(Request),
    /// Stop what you are doing for me and undo it.
    Cancel,
}

/// What the holder answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// How far it is.
    Progress(ProgressUpdate),
    /// How it ended.
    Done(Result<Response, Error>),
}

/// Sends one frame, with descriptors.
pub fn send<T: Serialize>(
    stream: &UnixStream,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let frame = [&length.to_le_bytes()[..], &body].concat();
    let sent = descriptors::send(stream, &frame, fds)?;
    let mut rest = stream;
    rest.write_all(&frame[sent..])
}

/// A request as it arrived.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub ask: ClientMessage,
    /// The descriptors that came with it.
    pub fds: Vec<OwnedFd>,
    /// Whether descriptors were lost, because this process may not have more of them.
    pub lost: bool,
}

/// Receives a request's frame and the descriptors that came with it; `None` at the end.
pub fn receive_ask(stream: &UnixStream) -> io::Result<Option<Asked>> {
    let mut length = [0; 4];
    let received = descriptors::receive(stream, &mut length)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut stream = stream;
    stream.read_exact(&mut length[received.bytes..])?;
    let ask = body(stream, length, REQUEST_BYTES_MAX)?;
    Ok(Some(Asked { ask, fds: received.descriptors, lost: received.truncated }))
}

/// Receives a frame that carries no descriptors.
pub fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    body(stream, length, REPLY_BYTES_MAX)
}

fn body<T: DeserializeOwned>(
    stream: &UnixStream,
    length: [u8; 4],
    bytes_max: usize,
) -> io::Result<T> {
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        let what = format!("a message of {length} bytes is too long");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    // Grows as bytes arrive: a length alone makes nobody allocate.
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_request_arrives_with_its_descriptor() {
        let (left, right) = UnixStream::pair().unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        send(&left, &ClientMessage::Execute(Request::List), &[reader.as_fd()]).unwrap();
        let asked = receive_ask(&right).unwrap().unwrap();
        assert!(matches!(asked.ask, ClientMessage::Execute(Request::List)));
        assert_eq!((asked.fds.len(), asked.lost), (1, false));
        drop(left);
        assert!(receive_ask(&right).unwrap().is_none());
    }

    #[test]
    fn a_frame_that_claims_too_much_is_refused() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(&u32::MAX.to_le_bytes()).unwrap();
        let error = receive_ask(&right).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_frame_cut_short_is_an_error() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(&100u32.to_le_bytes()).unwrap();
        left.write_all(b"{").unwrap();
        drop(left);
        let error = receive::<Reply>(&right).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(&3u32.to_le_bytes()).unwrap();
        left.write_all(b"\xff{]").unwrap();
        assert!(receive_ask(&right).is_err());
    }
}
