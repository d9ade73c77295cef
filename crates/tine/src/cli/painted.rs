//! A patch on a terminal: in colours, and without what a terminal would obey.

use crate::visible;

const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[m";

/// How a patch is shown.
#[derive(Clone, Copy)]
pub struct Paint {
    colours: bool,
}

impl Paint {
    /// In colours, unless NO_COLOR is set or the terminal knows none.
    pub fn of_this_terminal() -> Paint {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        Paint { colours: !is_set("NO_COLOR") && !is_dumb }
    }

    /// The lines of a section of a patch.
    pub fn patch(&self, bytes: &[u8]) -> String {
        let mut in_hunk = false;
        let mut shown = String::with_capacity(bytes.len());
        for line in bytes.split(|&byte| byte == b'\n') {
            let colour = match line.first() {
                Some(b'@') => {
                    in_hunk = true;
                    CYAN
                }
                Some(b'+') if in_hunk => GREEN,
                Some(b'-') if in_hunk => RED,
                Some(b' ' | b'\\') => "",
                Some(_) => {
                    in_hunk = false;
                    BOLD
                }
                None => "",
            };
            let text = visible::content(line);
            match colour {
                _ if colour.is_empty() || !self.colours => shown.push_str(&text),
                colour => shown.extend([colour, &text, PLAIN]),
            }
            shown.push('\n');
        }
        // What follows the last end of a line is empty.
        shown.pop();
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_coloured_and_obeyed_by_no_terminal() {
        let patch = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\x1b[2J\n+\tb\xff\n";
        let plain = Paint { colours: false }.patch(patch);
        assert_eq!(
            plain,
            "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\\u{1b}[2J\n+\tb\\xff\n"
        );
        let coloured = Paint { colours: true }.patch(patch);
        assert!(coloured.starts_with("\x1b[1mdiff --git a/x b/x\x1b[m\n\x1b[1m--- a/x"));
        assert!(coloured.ends_with("\x1b[31m-a\\u{1b}[2J\x1b[m\n\x1b[32m+\tb\\xff\x1b[m\n"));
    }
}
