//! Tests that run in a separate process, since what they do affects all of it.

use std::process::Command;

/// Runs this test again in a child process, prepared by `prepare`; `true` in the child itself.
pub fn in_child(test: &str, prepare: impl FnOnce(&mut Command)) -> bool {
    if std::env::var_os("TINE_MEMORY_CHILD").is_some() {
        return true;
    }
    // A copy that any user may run.
    let place = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = place.path().join("test");
    // Copied by another process: were it written by this one, a child that another test starts at
    // this moment would hold it open for writing, and it could not be run.
    let copy = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copy.unwrap().success());
    let mut child = Command::new(program);
    child.args(["--exact", test, "--nocapture"]).env("TINE_MEMORY_CHILD", "1").current_dir("/");
    prepare(&mut child);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
    text.lines().filter(|line| line.starts_with("skipped")).for_each(|line| println!("{line}"));
    false
}
