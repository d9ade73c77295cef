//! A store or a socket that is taken away while branches are mounted.

mod lab;

use std::fs;

use lab::{Lab, Said, can_mount, wait_until};

fn warns(said: &Said) {
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.err.contains("warning: ") && said.err.contains("branch main"), "{said:?}");
}

#[test]
fn a_store_that_was_removed_while_it_serves_is_told_by_every_command() {
    if !can_mount("a_store_that_was_removed_while_it_serves_is_told_by_every_command") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    fs::remove_file(lab.store()).unwrap();
    let other = lab.make_directory("mnt/other");
    for making in [
        &["import", &lab.text("src"), "new"][..],
        &["branch", "new", "--from", "main"],
        &["snapshot", "main", "new"],
        &["create", "new"],
        &["mount", "main", other.to_str().unwrap()],
        &["run", "new", "--from", "main", "--", "true"],
    ] {
        let words = lab.fails(making, "store-not-found");
        assert!(words.contains("removed") && words.contains("tine export main DIR"), "{words}");
    }
    for looking in [&["list", "--quiet"][..], &["usage"], &["ls", "main"], &["cat", "main", "note"]]
    {
        warns(&lab.run(looking));
    }
    fs::write(directory.join("note"), "changed").unwrap();
    warns(&lab.run(&["export", "main", &lab.text("out")]));
    assert_eq!(fs::read_to_string(lab.path("out").join("note")).unwrap(), "changed");
    warns(&lab.run(&["unmount", "main"]));
    wait_until("the holder has gone", || lab.holder().is_none());
    lab.fails(&["list"], "store-not-found");
}

#[test]
fn a_store_that_another_replaced_while_it_serves_is_told() {
    if !can_mount("a_store_that_another_replaced_while_it_serves_is_told") {
        return;
    }
    let lab = Lab::with_main();
    let other = lab.text("other.tine");
    lab.ok(&["init", "--store", &other]);
    let directory = lab.mount("main");
    fs::rename(&other, lab.store()).unwrap();
    let said = lab.run(&["list"]);
    warns(&said);
    assert!(said.err.contains("another store") && !said.out.contains("main"), "{said:?}");
    lab.ok(&["unmount", directory.to_str().unwrap()]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
}

#[test]
fn a_socket_that_was_removed_is_made_anew() {
    if !can_mount("a_socket_that_was_removed_is_made_anew") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    fs::write(directory.join("note"), "changed").unwrap();
    let socket = lab.path("store.tine.sock");
    fs::remove_file(&socket).unwrap();
    lab.ok(&["branch", "fork", "--from", "main"]);
    assert_eq!(lab.ok(&["cat", "fork", "note"]), "changed");
    lab.ok(&["unmount", "main"]);
    wait_until("the holder has gone", || lab.holder().is_none());
    assert!(!socket.exists());
}

#[test]
fn a_socket_is_not_made_anew_in_the_place_of_anything() {
    if !can_mount("a_socket_is_not_made_anew_in_the_place_of_anything") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    let socket = lab.path("store.tine.sock");
    fs::write(lab.path("file"), "mine").unwrap();
    fs::rename(lab.path("file"), &socket).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(fs::read_to_string(&socket).unwrap(), "mine");
    fs::remove_file(&socket).unwrap();
    // Nor for a store that another has replaced.
    let other = lab.text("other.tine");
    lab.ok(&["init", "--store", &other]);
    fs::rename(lab.store(), lab.path("moved.tine")).unwrap();
    wait_until("the socket is there", || socket.exists());
    fs::rename(&other, lab.store()).unwrap();
    fs::remove_file(&socket).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(!socket.exists());
    fs::rename(lab.path("moved.tine"), lab.store()).unwrap();
    lab.ok(&["unmount", directory.to_str().unwrap()]);
}
