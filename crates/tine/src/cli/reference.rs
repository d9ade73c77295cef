//! The commands' part of `docs/cli.md`, made from the definition. The test below compares the two;
//! `TINE_WRITE_DOCS=1 cargo test -p tine reference` writes the page anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory};

use crate::args::Cli;

const BEGIN: &str = "<!-- begin: made from the definition -->\n";
const END: &str = "<!-- end: made from the definition -->\n";

/// One section for each command, with its usage and its arguments.
fn commands() -> String {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut text = String::new();
    write_arguments(&mut text, "Options of every command", command.get_arguments());
    for verb in command.get_subcommands_mut() {
        describe(verb, &mut text);
    }
    text
}

fn describe(command: &mut Command, text: &mut String) {
    if command.has_subcommands() {
        for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
            describe(verb, text);
        }
        return;
    }
    let usage = command.render_usage().to_string();
    let mut usage = usage.trim_start_matches("Usage: ").trim().to_owned();
    // Those of every command are not listed again.
    if !command.get_arguments().any(is_own_option) {
        usage = usage.replace(" [OPTIONS]", "");
    }
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    write!(text, "\n### `{name}`\n\n").unwrap();
    if let Some(about) = command.get_about() {
        write!(text, "{about}.\n\n").unwrap();
    }
    if let Some(more) = command.get_after_help() {
        write!(text, "{more}\n\n").unwrap();
    }
    write!(text, "```text\n{usage}\n```\n").unwrap();
    let schemas = schemas_of(&name);
    if !schemas.is_empty() {
        let links: Vec<String> = schemas
            .iter()
            .map(|schema| format!("[`{schema}`](json/{schema}.schema.json)"))
            .collect();
        write!(text, "\nJSON: {}\n", links.join(", ")).unwrap();
    }
    let own = command.get_arguments().filter(|argument| !argument.is_global_set());
    write_arguments(text, "", own);
}

fn is_own_option(argument: &Arg) -> bool {
    !argument.is_positional() && !argument.is_global_set() && is_shown(argument)
}

fn is_shown(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
}

/// The schemas of a command and of what it prints with an option.
fn schemas_of(name: &str) -> Vec<String> {
    let stem = name.trim_start_matches("tine ").replace(' ', "-");
    let variants = ["", "-branch", "-repair"].map(|variant| format!("{stem}{variant}"));
    let is_there = |name: &String| docs().join(format!("json/{name}.schema.json")).exists();
    variants.into_iter().filter(is_there).collect()
}

fn write_arguments<'a>(text: &mut String, title: &str, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = arguments
        .filter(|argument| is_shown(argument))
        .map(|argument| {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            format!("| `{}` | {} |\n", spelling(argument), help.replace('|', "\\|"))
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    if !title.is_empty() {
        write!(text, "\n### {title}\n").unwrap();
    }
    write!(text, "\n| argument | meaning |\n|---|---|\n{}", rows.concat()).unwrap();
}

fn spelling(argument: &Arg) -> String {
    let values: Vec<String> = argument
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(|name| if argument.is_positional() { name.to_string() } else { format!(" {name}") })
        .collect();
    let values = if argument.get_action().takes_values() { values.concat() } else { String::new() };
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    format!("{}{values}", names.join(", ")).replace('|', "\\|")
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
fn the_page_of_commands_says_what_the_definition_says() {
    let path = docs().join("cli.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("a mark where the commands begin");
    let (found, after) = rest.split_once(END).expect("a mark where the commands end");
    let expected = commands();
    if std::env::var_os("TINE_WRITE_DOCS").is_some() {
        let whole = [before, BEGIN, &expected, END, after].concat();
        std::fs::write(&path, whole).unwrap();
        return;
    }
    assert!(
        found == expected,
        "docs/cli.md differs from the definition; `TINE_WRITE_DOCS=1 cargo test -p tine reference` writes it"
    );
}
