//! Exports of file trees of a hostile hand: nothing outside the target is made or changed.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let lab = tempfile::tempdir().unwrap();
    let Ok((store, main)) = tine_service::hostile::store() else { return };
    if tine_fs::hostile::tree(&main, data).is_ok() {
        let _ = tine_service::hostile::export(lab.path(), store);
    }
});
