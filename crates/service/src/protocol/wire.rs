//! The messages that a command and the holder exchange, and how they are framed on their socket.
//!
//! A frame is its length (u32, little endian) and that many bytes of JSON. The holder speaks first:
//! [`Hello`]. Then the command sends one [`ClientMessage`] after the other; each request is
//! answered by any number of [`Reply::Progress`] and one [`Reply::Done`]. Descriptors travel with a
//! request's first byte.

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tine_sys::descriptors;

use crate::protocol::Error;
use crate::protocol::identity::Identity;
use crate::protocol::progress::ProgressUpdate;
use crate::protocol::request::Request;

/// Changes whenever a message changes. A command and a holder of different versions understand
/// nothing of each other but [`Hello`], whose fields stay as they are.
pub const PROTOCOL: u32 = 10;

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
    pub pid: u32,
    /// The store that it holds, which need not be the one at the path any more.
    #[serde(default)]
    pub store: Option<Identity>,
    /// Why it cannot take the command on, an [`Error`] of its own version; it hangs up after that.
    #[serde(default)]
    pub refused: Option<serde_json::Value>,
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
pub enum Reply<A> {
    /// How far it is.
    Progress(ProgressUpdate),
    /// How it ended.
    Done(Result<A, Error>),
}

impl<A: Serialize> Reply<A> {
    /// The reply as [`send_encoded`] takes it.
    pub fn encode(&self) -> io::Result<Encoded> {
        Ok(Encoded(serde_json::to_vec(self)?))
    }
}

/// A message without its length.
pub struct Encoded(Vec<u8>);

/// Sends one frame, with descriptors.
pub fn send<T: Serialize>(
    stream: &UnixStream,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_encoded(stream, &Encoded(serde_json::to_vec(message)?), fds)
}

/// Sends one frame that is encoded already, with descriptors.
pub fn send_encoded(
    stream: &UnixStream,
    message: &Encoded,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let Encoded(body) = message;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let frame = [&length.to_le_bytes()[..], body].concat();
    let sent = descriptors::send(stream, &frame, fds)?;
    let mut rest = stream;
    rest.write_all(&frame[sent..])
}

/// A request as it arrived.
#[derive(Debug)]
pub struct Received {
    /// What is received.
    pub message: ClientMessage,
    /// The descriptors that came with it.
    pub fds: Vec<OwnedFd>,
    /// Whether descriptors were lost, because this process may not have more of them.
    pub lost: bool,
}

/// Receives a request's frame and the descriptors that came with it; `None` at the end.
pub fn receive_message(stream: &UnixStream) -> io::Result<Option<Received>> {
    let mut length = [0; 4];
    let received = descriptors::receive(stream, &mut length)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut stream = stream;
    stream.read_exact(&mut length[received.bytes..])?;
    let message = body(stream, length, REQUEST_BYTES_MAX)?;
    Ok(Some(Received { message, fds: received.descriptors, lost: received.truncated }))
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
    // Grows as bytes arrive: nothing is allocated for a length alone.
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
    use crate::protocol::branches::List;

    #[test]
    fn a_request_arrives_with_its_descriptor() {
        let (left, right) = UnixStream::pair().unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        send(&left, &ClientMessage::Execute(List.into()), &[reader.as_fd()]).unwrap();
        let received = receive_message(&right).unwrap().unwrap();
        assert!(matches!(received.message, ClientMessage::Execute(Request::List(List))));
        assert_eq!((received.fds.len(), received.lost), (1, false));
        drop(left);
        assert!(receive_message(&right).unwrap().is_none());
    }

    #[test]
    fn a_frame_that_claims_too_much_is_refused() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(&u32::MAX.to_le_bytes()).unwrap();
        let error = receive_message(&right).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_frame_cut_short_is_an_error() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(&100u32.to_le_bytes()).unwrap();
        left.write_all(b"{").unwrap();
        drop(left);
        let error = receive::<Reply<()>>(&right).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(&3u32.to_le_bytes()).unwrap();
        left.write_all(b"\xff{]").unwrap();
        assert!(receive_message(&right).is_err());
    }
}
