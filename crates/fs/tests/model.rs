//! Random operations on the tree and on a plain one in memory, which must never disagree: not in
//! what they answer, not in what is there afterwards, and not in any fork that was made between.

mod model_tree;
mod tree;

use model_tree::Model;
use model_tree::ops::{Op, apply, compare, op};
use proptest::prelude::*;
use tine_fs::Fs;
use tree::tree;

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 5000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_operations_leave_what_a_plain_tree_has(ops in prop::collection::vec(op(), 1..120)) {
        let t = tree();
        let mut fs = t.fs.clone();
        let mut model = Model::new();
        let mut forks = Vec::new();
        for op in &ops {
            match op {
                Op::Fork => {
                    // The old branch goes on living: it must keep what it has now while the new one
                    // moves on.
                    fs.sync().unwrap();
                    let fork = Fs::open(
                        &t.store,
                        t.store.fork(&fs.branch().name(), &format!("fork{}", forks.len())).unwrap(),
                    )
                    .unwrap();
                    forks.push((std::mem::replace(&mut fs, fork), model.clone()));
                    model.crash();
                }
                Op::Reopen => {
                    // Without the releases that closing the front end would make: as after a crash.
                    fs = Fs::open(&t.store, fs.branch().clone()).unwrap();
                    model.crash();
                }
                op => apply(&fs, &mut model, op)?,
            }
        }
        fs.sync().unwrap();
        compare(&fs, &model)?;
        let report = t.store.check().unwrap();
        prop_assert!(report.findings.is_empty(), "{:?}", report.findings);
        let now = fs.branch().read().unwrap();
        for (old, old_model) in &forks {
            compare(old, old_model)?;
            let before = old.branch().read().unwrap();
            let changes = tine_fs::diff(&before, &now).unwrap();
            model_tree::paths::compare(&changes, old_model, &model)?;
            let changes = tine_fs::diff_names(&before, &now).unwrap();
            model_tree::paths::compare_names(&changes, old_model, &model)?;
            let changes = tine_fs::diff_names(&now, &before).unwrap();
            model_tree::paths::compare_names(&changes, &model, old_model)?;
            let changes = tine_fs::diff(&now, &before).unwrap();
            model_tree::paths::compare(&changes, &model, old_model)?;
        }
    }
}
