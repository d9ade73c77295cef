//! A request under way, and what answers each.

use std::os::fd::OwnedFd;

use crate::holder::context::Context;
use crate::holder::reserved::Reserved;
use crate::protocol::{Ask, Code, Error, Progress, Request, Result};

/// A request under way: the store that it is about, and what came with it.
pub struct Call<'a> {
    pub(super) context: &'a Context,
    pub(super) progress: &'a Progress,
    /// The branches that go with the connection; none for a caller in this process.
    pub(super) reserved: Option<&'a Reserved<'a>>,
    fds: Vec<OwnedFd>,
}

/// A request that an open store answers.
pub trait Execute: Ask + Into<Request> {
    /// Does what is asked.
    ///
    /// # Errors
    /// One of the documented codes; the message names the thing and the cause.
    fn execute(self, call: &mut Call<'_>) -> Result<Self::Answer>;
}

impl<'a> Call<'a> {
    /// A request with the descriptors that came with it.
    pub fn new(context: &'a Context, fds: Vec<OwnedFd>, progress: &'a Progress) -> Call<'a> {
        Call { context, progress, reserved: None, fds }
    }

    /// The same, from a connection that owns the branches which it reserves.
    pub fn with_reserved(self, reserved: &'a Reserved<'a>) -> Call<'a> {
        Call { reserved: Some(reserved), ..self }
    }

    /// Answers the request.
    ///
    /// # Errors
    /// `not-permitted` for a change of a store that is open for reading only, and those of the
    /// request.
    pub fn answer<A: Execute>(mut self, ask: A) -> Result<A::Answer> {
        if self.context.read_only && !A::ONLY_READS {
            return Err(Error::new(Code::NotPermitted, "the store is open for reading only"));
        }
        ask.execute(&mut self).map_err(|error| self.context.located(error))
    }

    /// The one descriptor that the request needs.
    pub(super) fn descriptor(&mut self) -> Result<OwnedFd> {
        let fds = std::mem::take(&mut self.fds);
        let count = fds.len();
        match <[OwnedFd; 1]>::try_from(fds) {
            Ok([descriptor]) => Ok(descriptor),
            Err(_) => {
                let what = format!("the request came with {count} descriptors instead of one");
                Err(Error::new(Code::Usage, what))
            }
        }
    }
}
