//! A process that runs out of mappings. Alone in its process, since it takes all there are.

use tine_memory::{Error, Image, PAGE};

#[test]
fn the_budget_of_mappings_ends_in_an_error_and_not_in_a_crash() {
    let image = Image::from_bytes(&[1; PAGE]).unwrap();
    let mut forks = Vec::new();
    let refused = loop {
        match image.fork() {
            Ok(fork) => forks.push(fork),
            Err(error) => break error,
        }
        assert!(forks.len() < 1 << 20);
    };
    assert!(matches!(refused, Error::VmaBudget { .. }), "{refused}");
    assert!(forks.len() > 10_000);
    forks.truncate(10);
    assert_eq!(image.fork().unwrap()[0], 1);
}
