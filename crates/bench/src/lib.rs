//! Benchmarks of tine and its peers: one feature for each area, one table for each run.
//!
//! `cargo xtask bench AREA [FILTER]` builds this crate with only the feature AREA, so that only
//! that area's peers are compiled, and runs `tine-bench AREA [FILTER]`. The crate knows how to
//! measure in fair rounds ([`rounds`]), how to reduce samples ([`samples`]), how to compare a
//! figure with its bar ([`table`]), and how to write a page of figures ([`page`]). An area knows
//! only its subject and its peers.
//!
//! # Adding a row
//!
//! An area is a module with `pub fn run(table: &mut Table) -> anyhow::Result<()>`. A row is:
//!
//! ```ignore
//! let what = "Seq get";
//! if table.wants(what) {                                      // also skips the set-up
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
//! `table.not_run(what, why)`, never left out. Peers that need `unsafe` of ours are in two files,
//! which `cargo xtask tidy` lists: `memory/peers.rs` and `kv/peers/open.rs`.

#![forbid(unsafe_code)]

pub mod machine;
pub mod page;
pub mod probe;
pub mod rounds;
pub mod samples;
pub mod table;
