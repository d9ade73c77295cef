//! Benchmarks of tine beside its peers: one area a feature, one table a run.
//!
//! `cargo xtask bench AREA [FILTER]` builds this crate with the feature AREA alone, so that only
//! that area's peers are compiled, and runs `tine-bench AREA [FILTER]`. The crate knows how to
//! measure in fair rounds ([`rounds`]), how to reduce samples ([`samples`]) and how to hold a figure
//! against its bar ([`table`]); an area knows only its subject and its peers.
//!
//! # Adding a row
//!
//! An area is a module with `pub fn run(table: &mut Table) -> anyhow::Result<()>`. A row is:
//!
//! ```ignore
//! let what = "Seq get";
//! if table.wants(what) {                                      // honours FILTER: skip the set-up too
//!     let mut rounds = Rounds::new(9);                        // at least 5
//!     let ours = rounds.contestant(|| Ok(seconds_per_get(&seq)));   // each call is one sample
//!     let imbl = rounds.contestant(|| Ok(seconds_per_get(&vector)));
//!     let samples = rounds.run()?;                            // alternates, in random order
//!     table.row(what, Unit::Seconds, &samples[ours])
//!         .peer("imbl", &samples[imbl])
//!         .judged_by(Judge::Interval)                         // default: Judge::Median
//!         .bar(Bar::SpeedAtLeast(3.0));                       // prints the row
//! }
//! ```
//!
//! A figure with no peer takes an absolute bar (`Bar::AtMost(50e-9)` in the row's unit), and a
//! figure that is only shown takes `Bar::Printed`. What a machine cannot run is named by
//! `table.not_run(what, why)`, never left out. Peers that need `unsafe` of ours are in two files, which
//! `cargo xtask tidy` lists: `memory/peers.rs` and `kv/peers/open.rs`.

#![forbid(unsafe_code)]

pub mod probe;
pub mod rounds;
pub mod samples;
pub mod table;
