//! File trees of a hostile hand: every reader ends, and none shows a name that cannot be one.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tine_fs::hostile::fuzz(data));
