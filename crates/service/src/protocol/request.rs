//! All requests, as they cross the socket.
//!
//! A new request is a type with [`Ask`] in a file of this floor, its name in the list below, and
//! the holder's `Execute` for it.

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;
use crate::protocol::branches::{Create, Delete, Fork, List, Names, Rename, Reset, Root, Snapshot};
use crate::protocol::changes::{Diff, ReadChanges, Scope};
use crate::protocol::check::Check;
use crate::protocol::copies::{Export, Import, Publish, Reserve};
use crate::protocol::history::{CanUndo, Log, MarkPoint, SettlePoint, Undo};
use crate::protocol::imports::{FindImport, Refresh};
use crate::protocol::look::{ListDirectory, ReadFile};
use crate::protocol::mounts::{
    Abort, Attach, AwaitDetached, Began, FindMount, Identify, Inspect, LetGo, ListCached,
    ListMounts, WriteBack,
};
use crate::protocol::status::{DescribeBranch, DescribeStore};
use crate::protocol::usage::{MeasureBranch, MeasureStore};

/// Calls a macro with the names of all requests.
macro_rules! for_every_request {
    ($then:ident) => {
        $then! {
            Abort, Attach, AwaitDetached, Began, CanUndo, Check, Create, Delete, DescribeBranch, DescribeStore, Diff,
            Export, FindImport, FindMount, Fork, Identify, Import, Inspect, LetGo, List, ListCached, ListDirectory,
            ListMounts, Log, MarkPoint, MeasureBranch, MeasureStore, Names, Publish, ReadChanges, ReadFile,
            Refresh, Rename, Reserve, Reset, Root, Scope, SettlePoint, Snapshot, Undo, WriteBack,
        }
    };
}
pub(crate) use for_every_request;

macro_rules! declare {
    ($($name:ident),* $(,)?) => {
        /// A request as it crosses the socket.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs)]
        pub enum Request {
            $($name($name)),*
        }

        $(impl From<$name> for Request {
            fn from(ask: $name) -> Request {
                Request::$name(ask)
            }
        })*

        impl Request {
            /// See [`Ask::TAKES_LONG`].
            pub fn takes_long(&self) -> bool {
                match self {
                    $(Request::$name(_) => <$name as Ask>::TAKES_LONG),*
                }
            }
        }
    };
}
for_every_request!(declare);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire() {
        let request = Request::from(MeasureBranch { name: "a".into() });
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"measure_branch":{"name":"a"}}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let list = serde_json::to_string(&Request::from(List)).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&list).unwrap(), Request::List(List));
    }

    #[test]
    fn only_copies_take_long() {
        assert!(Request::from(Import { source: "/".into(), name: "a".into() }).takes_long());
        assert!(!Request::from(Check).takes_long());
    }
}
