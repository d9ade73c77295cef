//! `tine check --repair-to`: what is whole is copied into a new store, what was lost is named.

mod lab;

use std::fs;

use lab::Lab;

#[test]
fn a_repair_of_a_sound_store_loses_nothing() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "trial"]);
    let repaired = lab.json(&["check", "--repair-to", &lab.text("new.tine")]);
    assert_eq!(repaired["lost"], serde_json::json!([]));
    assert_eq!(repaired["branches"], 3, "main, what it was made from, and a fork");
    let (new, out) = (lab.text("new.tine"), lab.text("out"));
    lab.ok(&["export", "trial", &out, "--store", &new]);
    assert_eq!(fs::read(lab.path("out").join("sub/data")).unwrap(), vec![7; 100_000]);
    let again = lab.run(&["check", "--repair-to", &new]);
    assert_ne!(again.status, 0, "no file is replaced");
}

#[test]
fn a_repair_keeps_all_but_the_rotten_block_and_names_it() {
    let lab = Lab::with_main();
    let mut bytes = fs::read(lab.store()).unwrap();
    let rotten = bytes.chunks(4096).position(|block| *block == [7; 4096]).unwrap();
    bytes[rotten * 4096 + 5] ^= 1;
    fs::write(lab.store(), bytes).unwrap();
    assert_eq!(lab.run(&["check"]).status, 1);
    let said = lab.run(&["check", "--json", "--repair-to", &lab.text("new.tine")]);
    assert_eq!(said.status, 1, "a loss is no success");
    let repaired: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let lost = repaired["lost"].as_array().unwrap();
    // The block belongs to the import, too.
    let mut places: Vec<_> = lost.iter().map(|loss| loss["where"].as_str().unwrap()).collect();
    places.sort_unstable();
    let of = |branch: &str| format!("branch {branch}, the data of sub/data");
    assert_eq!(places, [of("main"), of("main@import")], "{lost:?}");
    let (new, out) = (lab.text("new.tine"), lab.text("out"));
    assert_eq!(lab.json(&["check", "--store", &new])["findings"], serde_json::json!([]));
    lab.ok(&["export", "main", &out, "--store", &new]);
    assert_eq!(fs::read(lab.path("out").join("note")).unwrap(), b"as it was\n");
    let data = fs::read(lab.path("out").join("sub/data")).unwrap();
    let zeros = data.iter().filter(|byte| **byte == 0).count();
    assert_eq!((data.len(), zeros), (100_000, 4096));
}
