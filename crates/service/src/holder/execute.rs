//! From a request that crossed the socket to the function that answers it.

use std::io;

use crate::holder::call::Call;
use crate::protocol::request::{Request, for_every_request};
use crate::protocol::wire::{Encoded, Reply};

macro_rules! dispatch {
    ($($name:ident),* $(,)?) => {
        /// Answers a request, as its answer crosses the socket.
        pub fn execute(call: Call<'_>, request: Request) -> io::Result<Encoded> {
            match request {
                $(Request::$name(ask) => Reply::Done(call.answer(ask)).encode()),*
            }
        }
    };
}
for_every_request!(dispatch);
