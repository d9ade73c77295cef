//! What a command has done is durable when it says so. Where that fails it says what is done all
//! the same.

use std::fmt::Display;

use tine_store::Store;

use crate::protocol::{Error, Hint, Result};

/// Makes durable what was `done`.
///
/// # Errors
/// One that says that it is done, and why it is not durable.
pub fn make(store: &Store, done: impl Display) -> Result<()> {
    store.sync().map_err(|error| not_durable(error.into(), done))
}

fn not_durable(error: Error, done: impl Display) -> Error {
    let message = format!("{done}, but that is not yet durable: {}", error.message);
    Error::new(error.code, message).hint(Hint::RedoAfterUnmount)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tine_store::{Faults, MemoryDevice, Options, SimulatedDevice, SyncFault};

    use super::*;
    use crate::holder::{Call, Context, Execute};
    use crate::protocol::branches::{Delete, Fork, Rename, Snapshot};
    use crate::protocol::history::PointKind;
    use crate::protocol::{Code, Progress};

    #[test]
    fn a_flush_that_fails_after_a_change_is_told_with_what_is_done() {
        let disk = Arc::new(MemoryDevice::new());
        let mut options = Options::default();
        options.background = false;
        let store = Store::create_on(disk.clone(), &options).unwrap();
        store.create_branch("main").unwrap();
        store.create_branch("old").unwrap();
        store.close().unwrap();
        let fails = |done: &str, answer: &dyn Fn(&Context) -> Result<()>| {
            let device = Arc::new(SimulatedDevice::over(&disk));
            let context = Context::over(Store::open_on(device.clone(), &options).unwrap());
            device.set_faults(Faults { sync: Some((0, SyncFault::ForGood)), ..Faults::default() });
            let error = answer(&context).unwrap_err();
            assert!(error.message.contains(done), "{error}");
            assert!(error.message.contains("but that is not yet durable"), "{error}");
            assert!(error.code == Code::Io && error.hint.is_some(), "{error:?}");
        };
        fn ask<A: Execute>(context: &Context, ask: A) -> Result<()> {
            Call::new(context, Vec::new(), &Progress::default()).answer(ask).map(drop)
        }
        let text = |text: &str| text.to_owned();
        fails("\"point\" is made", &|context| {
            ask(context, Snapshot { from: text("main"), new: text("point") })
        });
        fails("\"try\" is made", &|context| {
            ask(context, Fork { new: text("try"), from: text("main"), count: None, ttl_s: None })
        });
        fails("\"old\" is renamed to \"new\"", &|context| {
            ask(context, Rename { old: text("old"), new: text("new") })
        });
        fails("\"old\" is deleted", &|context| {
            let kind = PointKind::Delete;
            ask(context, Delete { names: vec![text("old")], force: false, now: true, kind })
        });
    }
}
