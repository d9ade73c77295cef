//! What a command finds when it looks for the holder of a store.

use super::connection::Connection;
use crate::protocol::mounts::MountedBranch;
use crate::protocol::socket::Socket;

/// What stands at the place of the socket.
pub enum Found {
    /// A holder of the store.
    Holder(Connection),
    /// A holder with mounts, of a store whose file is not at its path any more, and nor is another.
    OfRemoved(Removed),
    /// The socket of a holder that died.
    Dead(Option<Socket>),
    /// Nothing, or a holder of another store, which stood at the path before.
    Nothing,
}

/// The holder of a store whose file is not at its path.
pub struct Removed {
    pub holder: Connection,
    pub mounted: MountedBranch,
}

/// What a store is reached for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To look, or to end something.
    Look,
    /// To make something, which is to last.
    Change,
}
