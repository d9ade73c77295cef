//! Edits of forked sequences against vectors: every version must equal its model, and patches must
//! lead from one to another.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tine_values::Seq;

fuzz_target!(|data: &[u8]| {
    let start: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let mut versions = vec![(Seq::from(start.as_slice()), start)];
    for step in data.chunks_exact(4).take(200) {
        let which = usize::from(step[1]) % versions.len();
        if step[0] % 6 == 0 && versions.len() < 5 {
            versions.push(versions[which].clone());
        }
        let (seq, model) = &mut versions[which];
        let at = usize::from(u16::from_le_bytes([step[2], step[3]])) % (model.len() + 1);
        match step[0] % 6 {
            1 => {
                seq.insert(at, step[1]);
                model.insert(at, step[1]);
            }
            2 if at < model.len() => assert_eq!(seq.remove(at), model.remove(at)),
            3 => {
                let (mut tail, mut other) = (seq.split_off(at), model.split_off(at));
                tail.append(seq);
                other.append(model);
                (*seq, *model) = (tail, other);
            }
            4 => {
                seq.truncate(at);
                model.truncate(at);
            }
            _ if at < model.len() => {
                seq.set(at, step[1]);
                model[at] = step[1];
            }
            _ => {}
        }
    }
    for (seq, model) in &versions {
        assert!(seq.iter().eq(model));
        let mut patched = versions[0].0.clone();
        patched.apply(&versions[0].0.diff(seq).to_patch()).expect("a patch fits where it was made");
        assert!(patched == *seq);
    }
});
