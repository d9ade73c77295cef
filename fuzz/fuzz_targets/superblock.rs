//! Superblocks with right checksums: a value that reads as it is written, or an error; and stores
//! that begin with them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tine_store::fuzzing::superblock(data));
