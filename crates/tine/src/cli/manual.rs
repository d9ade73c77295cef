//! The manual page: one page for all commands, since one is enough to look into.

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use tine_service::{Error, Result};

use crate::args::Cli;
use crate::output;

/// Prints the page.
///
/// # Errors
/// When it cannot be printed.
pub fn print() -> Result<u8> {
    let page = page().map_err(|error| Error::io("cannot make the manual page", error))?;
    output::print(&[page.trim_end().to_owned()]).map(|()| 0)
}

fn page() -> std::io::Result<String> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("User commands");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    Roff::new().control("SH", ["COMMANDS"]).to_writer(&mut page)?;
    for verb in command.get_subcommands_mut() {
        describe(verb, &mut page)?;
    }
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    // Each part defines the apostrophe again, which the title has done.
    let mut defined = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        let defines = line.starts_with(".ie \\n(.g") || line.starts_with(".el .ds Aq");
        if !defines || !defined {
            lines.push(if line == ".SH EXTRA" { ".SH NOTES" } else { line });
        }
        defined |= line.starts_with(".el .ds Aq");
    }
    Ok(lines.join("\n"))
}

/// A command under its usage; one that has commands of its own, by these.
fn describe(command: &mut Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    if command.has_subcommands() {
        for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
            describe(verb, page)?;
        }
        return Ok(());
    }
    let usage = command.render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SS", [usage.trim_start_matches("Usage: ").trim()]);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    roff.text([roman(format!("{about}."))]);
    if let Some(more) = command.get_after_help() {
        roff.control("PP", []);
        roff.text([roman(more.to_string())]);
    }
    roff.to_writer(page)?;
    let own = command.clone().mut_args(|argument| match argument.is_global_set() {
        true => argument.hide(true),
        false if matches!(argument.get_id().as_str(), "help" | "version") => argument.hide(true),
        false => argument,
    });
    let mut options = Vec::new();
    Man::new(own).render_options_section(&mut options)?;
    for line in String::from_utf8_lossy(&options).lines().filter(|line| *line != ".SH OPTIONS") {
        page.extend_from_slice(line.as_bytes());
        page.push(b'\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_usage_and_no_section_is_without_a_name() {
        let page = page().unwrap();
        let sections: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        assert_eq!(
            sections,
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "NOTES", "VERSION"]
        );
        for usage in ["tine init", "tine import", "tine run", "tine postgres start", "tine diff"] {
            assert!(
                page.lines().any(|line| line.starts_with(&format!(".SS \"{usage} "))),
                "{usage}"
            );
        }
        assert!(!page.contains("tine\\-"), "it refers to a page that is not there: {page}");
        assert!(!page.contains("tine hold") && !page.contains("tine enter"), "{page}");
    }
}
