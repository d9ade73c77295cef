//! What a command has done is durable when it says so. Where that fails it says what is done all the same.

use std::fmt::Display;

use tine_store::Store;

use crate::protocol::{Error, Result};

/// Makes durable what was `done`.
///
/// # Errors
/// One that says that it is done, and why it is not durable.
pub fn make(store: &Store, done: impl Display) -> Result<()> {
    store.sync().map_err(|error| not_durable(error.into(), done))
}

fn not_durable(error: Error, done: impl Display) -> Error {
    let message = format!("{done}, but that is not yet durable: {}", error.message);
    Error::new(error.code, message).hint(
        "it counts until the store is closed, and may be gone after that; unmount its branches, see with `tine list` \
         what is there, and do the rest again",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tine_store::{Faults, MemoryDevice, Options, SimulatedDevice, SyncFault};

    use super::*;
    use crate::holder::{Context, execute};
    use crate::protocol::Code;
    use crate::protocol::progress::Progress;
    use crate::protocol::requests::Request;

    #[test]
    fn a_flush_that_fails_after_a_change_is_told_with_what_is_done() {
        let disk = Arc::new(MemoryDevice::new());
        let mut options = Options::default();
        options.background = false;
        let store = Store::create_on(disk.clone(), &options).unwrap();
        store.create_branch("main").unwrap();
        store.create_branch("old").unwrap();
        store.close().unwrap();
        let requests = [
            (Request::Snapshot { from: "main".into(), new: "point".into() }, "\"point\" is made"),
            (
                Request::Branch {
                    new: "try".into(),
                    from: "main".into(),
                    count: None,
                    ttl_s: None,
                },
                "\"try\" is made",
            ),
            (
                Request::Rename { old: "old".into(), new: "new".into() },
                "\"old\" is renamed to \"new\"",
            ),
            (Request::Delete { names: vec!["old".into()], force: false }, "\"old\" is deleted"),
        ];
        for (request, done) in requests {
            let device = Arc::new(SimulatedDevice::over(&disk));
            let context = Context::over(Store::open_on(device.clone(), &options).unwrap());
            device.set_faults(Faults { sync: Some((0, SyncFault::ForGood)), ..Faults::default() });
            let quiet = Progress::default();
            let error = execute(&context, request, Vec::new(), &quiet).unwrap_err();
            assert!(error.message.contains(done), "{error}");
            assert!(error.message.contains("but that is not yet durable"), "{error}");
            assert!(error.code == Code::Io && error.hint.is_some(), "{error:?}");
        }
    }
}
