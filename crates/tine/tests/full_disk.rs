//! A disk that fills under a running database: an error, nothing acknowledged lost, and it goes on.

mod lab;

use std::collections::BTreeSet;
use std::process::Command;

use lab::disk::SmallDisk;
use lab::outside::{BALANCED, Outside, pgbench, programs, query};
use lab::{Lab, can_mount, needs_root, object};

#[test]
fn a_disk_that_fills_under_a_server_loses_nothing_acknowledged_and_with_space_it_goes_on() {
    let test =
        "a_disk_that_fills_under_a_server_loses_nothing_acknowledged_and_with_space_it_goes_on";
    let Some(bin) = programs() else {
        println!("skipped: {test}: no PostgreSQL server is installed");
        return;
    };
    if !needs_root(test) || !can_mount(test) {
        return;
    }
    let lab = Lab::on_disk(|directory| SmallDisk::ext4(directory, 600));
    let outside = Outside::start(bin.clone(), &lab);
    lab.ok(&["postgres", "import", &outside.uri(), "main"]);
    drop(outside);
    lab.ok(&["branch", "fork"]);
    let uri = start(&lab);
    assert!(pgbench(&bin, &uri, &["-i", "-q", "-s", "1"]).wait().unwrap().success());
    query(&uri, "create table kept (n int primary key, filler text)");

    // In the middle of pgbench; large rows, so that it does not take long.
    let ballast = lab.disk().fill_up_to(40);
    let mut load = pgbench(&bin, &uri, &["-n", "-c", "2", "-T", "120"]);
    let mut acknowledged = BTreeSet::new();
    while insert(&uri, acknowledged.len()) {
        acknowledged.insert(acknowledged.len());
    }
    assert!(!load.wait().unwrap().success(), "pgbench did not notice");
    assert!(!acknowledged.is_empty(), "the disk was full before the test began");

    // In the middle of a checkpoint, the server's and the store's: both have to wait for space.
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]), "while the disk is full");
    lab.run(&["postgres", "stop", "fork"]);
    let refused = lab.run(&["postgres", "start", "fork", "--json"]);
    if refused.status != 0 {
        let error = object(&refused.out)["error"].clone();
        assert_eq!(error["code"], "no-space", "{refused:?}");
        assert!(error["hint"].as_str().unwrap().contains("free space"), "{refused:?}");
    }
    lab.run(&["postgres", "stop", "fork"]);

    ballast.remove();
    let uri = start(&lab);
    let found = query(&uri, "select n from kept");
    let found: BTreeSet<usize> = found.lines().map(|line| line.parse().unwrap()).collect();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?} of {}", acknowledged.len());
    assert_eq!(query(&uri, BALANCED), "t");
    assert!(insert(&uri, 1_000_000), "there is space, and it does not go on");
    assert!(pgbench(&bin, &uri, &["-n", "-t", "100"]).wait().unwrap().success());
    lab.ok(&["postgres", "stop", "fork"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

fn start(lab: &Lab) -> String {
    lab.json(&["postgres", "start", "fork"])["uri"].as_str().unwrap().to_owned()
}

/// A row of some 640 kB that cannot be compressed; whether the server acknowledged it.
fn insert(uri: &str, n: usize) -> bool {
    let filler = "string_agg(md5(random()::text), '') from generate_series(1, 20000)";
    let sql = format!("insert into kept select {n}, {filler}");
    let output = Command::new("psql").args(["-XAtq", "-c", &sql, uri]).output().unwrap();
    output.status.success()
}
