//! A command line that makes no sense, said so that a person or a program can mend it.

use std::ffi::OsString;

use clap::error::ErrorKind;
use tine_service::{Code, Error};

/// What clap says of it, as an error of the contract.
pub fn as_error(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let (mut what, mut advice) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            advice.push(tip.to_owned());
        } else if let Some(usage) = line.strip_prefix("Usage: ") {
            advice.push(format!("usage: {usage}"));
        } else if !line.starts_with("For more information") {
            what.push(line.trim_start_matches("error: "));
        }
    }
    let error = Error::new(Code::Usage, what.join(" "));
    match advice.is_empty() {
        true => error.hint("`tine --help` shows what there is"),
        false => error.hint(advice.join("; ")),
    }
}

/// Advice that clap cannot know: the command of `tine run` stands behind `--`.
pub fn advice(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let text = |argument: &OsString| argument.to_string_lossy().into_owned();
    let run = arguments.iter().position(|argument| argument == "run")?;
    let expected =
        matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument);
    if !expected || arguments.iter().any(|argument| argument == "--") {
        return None;
    }
    // The first word is taken for the branch, the next would have been the command.
    let words: Vec<String> = arguments[run + 1..].iter().map(text).collect();
    let name = words.iter().position(|word| !word.starts_with('-'));
    let corrected = match name {
        Some(at) if at + 1 < words.len() => {
            format!("{} -- {}", words[..=at].join(" "), words[at + 1..].join(" "))
        }
        Some(_) => format!("{} -- CMD", words.join(" ")),
        None => return None,
    };
    Some(format!("the command stands behind `--`: tine run {corrected}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn parse(words: &[&str]) -> clap::Error {
        Cli::try_parse_from(words).unwrap_err()
    }

    #[test]
    fn an_error_names_the_argument() {
        let error = as_error(&parse(&["tine", "import", "directory"]));
        assert_eq!(error.message, "the following required arguments were not provided: <NAME>");
        assert!(error.hint_text().contains("usage: tine import <DIRECTORY> <NAME>"));
        let error = as_error(&parse(&["tine", "branch", "a", "--fron", "b"]));
        assert_eq!(error.message, "unexpected argument '--fron' found");
        assert!(error.hint_text().contains("'--from'"));
        let error = as_error(&parse(&["tine", "branch", "a", "--count", "0"]));
        assert!(error.message.contains("'0'") && error.message.contains("--count"), "{error}");
    }

    #[test]
    fn a_command_without_dashes_gets_a_tip() {
        for (words, tip) in [
            (&["run", "main", "ls", "-l"][..], Some("tine run main -- ls -l")),
            (&["run", "main"], Some("tine run main -- CMD")),
            (&["run", "--keep", "main", "make"], Some("tine run --keep main -- make")),
            (&["run", "--bad", "main", "--", "ls"], None),
            (&["branch"], None),
        ] {
            let error = parse(&[&["tine"], words].concat());
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let advice = advice(&error, &words);
            assert_eq!(advice.is_some(), tip.is_some(), "{advice:?}");
            assert!(tip.is_none_or(|tip| advice.unwrap().ends_with(tip)));
        }
    }
}
