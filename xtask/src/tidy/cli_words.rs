//! What `tine-service` says knows no command line: a hint that needs one is a case of `Hint`, which
//! the command line puts into its words.

use super::source::Source;

const ROOT: &str = "crates/service/src";

/// One finding a line that names a command or a flag.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust() && source.is_under(&[ROOT])) {
        for (index, line) in source.text.lines().enumerate() {
            if !line.trim_start().starts_with("//") && names_the_command_line(line) {
                findings.push(format!(
                    "{}:{}: words of the command line; make it a case of `Hint` or `Warning`",
                    source.path.display(),
                    index + 1
                ));
            }
        }
    }
    findings
}

/// A flag stands behind a blank or a bracket in a sentence. What stands alone in a string is an
/// argument of another program, and the first line of a patch is none at all.
fn names_the_command_line(line: &str) -> bool {
    let line = line.replace("diff --git ", "");
    let is_flag = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    line.contains("`tine ")
        || line.contains("TINE_STORE")
        || [" --", "`--", "(--"].iter().any(|start| line.split(start).skip(1).any(is_flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_with_commands_or_flags_are_found() {
        let finds = |path: &str, text: &str| {
            check(&[Source { path: path.into(), text: text.into() }]).len()
        };
        let service = "crates/service/src/a.rs";
        assert_eq!(finds(service, "hint(\"see `tine list`\")\nhint(\"add --force\")"), 2);
        assert_eq!(finds(service, "args([\"--no-sync\"])\n// `tine run` ends\nlet a = b - -c;"), 0);
        assert_eq!(finds(service, "line(b\"diff --git a/x b/x\")"), 0);
        assert_eq!(finds("crates/tine/src/cli/hints.rs", "\"add --force\""), 0);
    }
}
