//! What a command's own process does: it opens directories, mounts, flushes mounts and starts
//! servers, around the requests that it has answered through a [`crate::Client`].

pub mod branch;
pub mod diff;
mod flush;
pub mod import_export;
mod inspect;
mod kept_log;
pub mod look;
pub mod mount;
pub mod pg_import;
pub mod refresh;
pub mod repair;
pub mod run;
mod server_lock;
mod server_record;
pub mod servers;
pub mod status;
pub mod unmount;
pub mod whole_branch;
