//! The history of branches: what a name with a point means, and going back.

mod lab;

use lab::Lab;

#[test]
fn what_follows_an_at_must_make_sense_and_be_there() {
    let lab = Lab::with_main();
    for wrong in ["main@", "main@x", "main@{}", "main@{2}", "@import", "main@1@2", "main@0"] {
        for command in ["usage", "reset", "delete"] {
            let words = lab.fails(&[command, wrong], "name-invalid");
            assert!(words.contains("NAME@3"), "{words}");
        }
    }
    for gone in ["main@999", "nobody@1", "main@import"] {
        for arguments in
            [&["usage", gone][..], &["diff", "main", gone], &["branch", "x", "--from", gone]]
        {
            lab.fails(arguments, "branch-not-found");
        }
    }
    assert_eq!(lab.names(), ["main"]);
}
