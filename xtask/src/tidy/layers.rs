//! A crate imports only crates of lower layers; siblings do not know each other.

use crate::workspace::Workspace;

/// The layers, the lowest first. Tests of a crate keep to its layer as well.
const LAYERS: &[&[&str]] = &[
    &["tine-values", "tine-memory", "tine-sys"],
    &["tine-store"],
    &["tine-fs"],
    &["tine-fuse"],
    &["tine-service"],
    &["tine"],
    &["tine-bench", "xtask"],
];

/// One finding for each import that goes sideways or up, and one for each member without a layer.
pub fn check(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for member in workspace.members() {
        let Some(layer) = layer(member.name()) else {
            findings.push(format!(
                "{}: has no layer; give it one in xtask/src/tidy/layers.rs and ARCHITECTURE.md",
                member.name()
            ));
            continue;
        };
        // A crate may name itself, to have a feature in its own tests.
        for dependency in member.dependencies().filter(|name| *name != member.name()) {
            if !may_import(layer, dependency) {
                findings.push(format!(
                    "{}: imports {dependency}, which is not in a lower layer; move what both need down",
                    member.name()
                ));
            }
        }
    }
    findings
}

fn may_import(layer_of_importer: usize, dependency: &str) -> bool {
    layer(dependency).is_none_or(|below| below < layer_of_importer)
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_go_down_and_never_sideways_or_up() {
        let fuse = layer("tine-fuse").unwrap();
        assert!(may_import(fuse, "tine-fs") && may_import(fuse, "serde"));
        assert!(!may_import(fuse, "tine-fuse") && !may_import(fuse, "tine-service"));
        assert!(!may_import(layer("tine-memory").unwrap(), "tine-store"));
    }
}
