//! Tree nodes with right checksums: a node that reads as it is written, or an error.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tine_store::fuzzing::node(data));
