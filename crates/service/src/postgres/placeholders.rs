//! Settings of a running server that `pg_settings` does not list: names with a dot whose library is
//! not loaded.
//!
//! The server keeps such a setting for programs that ask for it by name, and lists it nowhere. What
//! its files say of them is in `pg_file_settings`, and its command line in a file of the data
//! directory; both are closed to most roles.

use std::collections::BTreeMap;

use super::carried::Given;
use crate::protocol::Result;

/// A query with its answer's rows.
pub(super) type Ask<'a, const COLUMNS: usize> = dyn Fn(&str) -> Result<Vec<[String; COLUMNS]>> + 'a;

/// Whether the role may read each of both.
pub(super) const RIGHTS: &str = "\
    select has_table_privilege('pg_catalog.pg_file_settings', 'select') \
        and has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'execute'), \
    has_function_privilege('pg_catalog.pg_read_file(text,bigint,bigint,boolean)', 'execute')";

/// Of a name that is given twice the last counts.
const OF_FILES: &str = "\
    select name, setting, coalesce(sourcefile, '') from pg_file_settings \
    where name like '%.%' and setting is not null and error is null order by seqno";

const COMMAND_LINE: &str = "select coalesce(pg_read_file('postmaster.opts', 0, 65536, true), '')";

/// The settings of files and of the command line that are not in `listed`, and whether the role may
/// know those of files.
pub(super) fn unlisted(
    listed: &[Given],
    rights: &Ask<'_, 2>,
    of_files: &Ask<'_, 3>,
    command_line: &Ask<'_, 1>,
) -> Result<(Vec<Given>, bool)> {
    let mut found = BTreeMap::new();
    let rights = rights(RIGHTS)?.into_iter().next().unwrap_or_default();
    let [files_are_open, command_is_open] = rights.map(|right| right == "t");
    if files_are_open {
        for [name, value, file] in of_files(OF_FILES)? {
            let file = Some(file).filter(|file| !file.is_empty()).map(Into::into);
            let given = Given { name, value, file, by_command: false };
            found.insert(given.name.to_ascii_lowercase(), given);
        }
    }
    if command_is_open {
        let lines = command_line(COMMAND_LINE)?.into_iter();
        for (name, value) in lines.flat_map(|[line]| options(&line)) {
            let given = Given { name, value, file: None, by_command: true };
            found.insert(given.name.to_ascii_lowercase(), given);
        }
    }
    for given in listed {
        found.remove(&given.name.to_ascii_lowercase());
    }
    Ok((found.into_values().collect(), files_are_open))
}

/// Settings with a dot in their names among a server's arguments, each of which stands in double
/// quotes.
fn options(command_line: &str) -> Vec<(String, String)> {
    let Some((_, arguments)) = command_line.trim_end().split_once(" \"") else {
        return Vec::new();
    };
    let arguments = arguments.strip_suffix('"').unwrap_or(arguments);
    let mut found = Vec::new();
    let mut arguments = arguments.split("\" \"");
    while let Some(argument) = arguments.next() {
        let option = match argument {
            "-c" => arguments.next(),
            _ => argument.strip_prefix("--").or_else(|| argument.strip_prefix("-c")),
        };
        if let Some((name, value)) = option.and_then(|option| option.split_once('='))
            && name.contains('.')
        {
            found.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_give_a_setting_on_the_command_line_is_read() {
        let line = "/usr/lib/bin/postgres \"-D\" \"/a b\" \"-c\" \"my.text=two words = 'x'\" \"-cmy.b=\" \
                    \"--my.long-name=3\" \"-c\" \"work_mem=5MB\" \"-p\" \"1\"\n";
        let read = options(line);
        let read: Vec<_> = read.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(read, [("my.text", "two words = 'x'"), ("my.b", ""), ("my.long_name", "3")]);
        assert!(options("").is_empty() && options("/bin/postgres\n").is_empty());
    }

    #[test]
    fn what_is_listed_already_is_not_told_twice_and_the_last_word_counts() {
        let text = |words: [&str; 3]| words.map(str::to_owned);
        let listed =
            [Given { name: "Loaded.x".into(), value: "1".into(), file: None, by_command: false }];
        let told = unlisted(
            &listed,
            &|_| Ok(vec![["t", "t"].map(str::to_owned)]),
            &|_| {
                let rows =
                    [["my.a", "1", "/e/c"], ["MY.A", "2", "/e/d"], ["loaded.X", "1", "/e/c"]];
                Ok(rows.into_iter().chain([["my.b", "1", "/e/c"]]).map(text).collect())
            },
            &|_| Ok(vec![["/bin/postgres \"-c\" \"my.b=9\"\n".to_owned()]]),
        );
        let (found, are_known) = told.unwrap();
        let found: Vec<_> = found.iter().map(|it| (&it.name[..], &it.value[..])).collect();
        assert_eq!(found, [("MY.A", "2"), ("my.b", "9")]);
        assert!(are_known);
    }

    #[test]
    fn a_role_without_the_rights_asks_for_nothing_else() {
        let closed = unlisted(
            &[],
            &|_| Ok(vec![["f", "f"].map(str::to_owned)]),
            &|query| panic!("{query}"),
            &|query| panic!("{query}"),
        );
        assert_eq!(closed.unwrap(), (Vec::new(), false));
    }
}
