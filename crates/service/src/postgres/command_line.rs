//! The settings of a fork's server that go on its command line, where they win over every file.

use std::path::Path;

use super::configuration::{Configuration, MAIN_FILE};
use super::libraries::quiet_schedulers;
use super::parameters::forced;

/// Longer names are cut by the server, with a notice.
const CLUSTER_NAME_BYTES_MAX: usize = 63;

/// What the settings of one start depend on.
pub(super) struct Start<'a> {
    pub version: u32,
    pub data: &'a Path,
    /// The directory of the socket.
    pub runtime: &'a Path,
    /// Who may connect.
    pub rules: &'a Path,
    /// Which names of the system stand for which roles.
    pub names: &'a Path,
    pub port: u16,
    pub label: &'a str,
}

impl Start<'_> {
    /// Names and values.
    pub fn settings(&self, configuration: &Configuration) -> Vec<(&'static str, String)> {
        let mut settings: Vec<_> =
            forced(self.version).map(|(name, value)| (name, value.to_owned())).collect();
        settings.extend(quiet_schedulers(configuration));
        settings.extend(self.own());
        settings
    }

    fn own(&self) -> [(&'static str, String); 7] {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        [
            ("data_directory", path(self.data)),
            ("config_file", path(&self.data.join(MAIN_FILE))),
            ("hba_file", path(self.rules)),
            ("ident_file", path(self.names)),
            ("unix_socket_directories", format!("\"{}\"", path(self.runtime))),
            ("port", self.port.to_string()),
            ("cluster_name", cut(self.label, CLUSTER_NAME_BYTES_MAX).to_owned()),
        ]
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let end = end.take_while(|end| *end <= bytes_max).last().unwrap_or_default();
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::parameters::{Class, class_of};

    #[test]
    fn what_the_table_leaves_to_each_start_is_set_there() {
        let path = Path::new("/x");
        let start = Start {
            version: 15,
            data: path,
            runtime: path,
            rules: path,
            names: path,
            port: 1,
            label: "ü",
        };
        let settings = start.settings(&Configuration::default());
        let own = settings.iter().filter(|(name, _)| class_of(name) == Some(Class::Own)).count();
        assert_eq!(own, crate::postgres::parameters::own().count());
        assert!(settings.contains(&("synchronous_standby_names", String::new())));
        assert_eq!(cut("aü", 2), "a");
    }
}
