//! Journal groups with right checksums behind a small store's last one: the store opens or says why
//! not.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tine_store::fuzzing::journal(data));
