//! What a page of figures says about the machine.

use std::fs;
use std::path::Path;

/// The machine and system that figures were measured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Model of the processor, as the kernel names it.
    pub processor: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// Type of the file system that holds temporary files.
    pub file_system: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// This machine. What it does not tell is unknown.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let system = rustix::system::uname();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or(UNKNOWN).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            kernel: format!("Linux {}", system.release().to_string_lossy()),
            file_system: file_system(&read("/proc/self/mounts"), &std::env::temp_dir()),
        }
    }
}

/// The value behind a name and a colon.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.trim() == name)
        .map(|(_, value)| value.trim())
}

fn memory_bytes(meminfo: &str) -> u64 {
    let kib = field(meminfo, "MemTotal").and_then(|value| value.strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

/// The type of the mount with the longest directory above `path`. Of several there, the last one.
fn file_system(mounts: &str, path: &Path) -> String {
    let found = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((Path::new(fields.next()?), fields.next()?))
        })
        .filter(|(directory, _)| path.starts_with(directory))
        .max_by_key(|(directory, _)| directory.components().count());
    found.map_or(UNKNOWN, |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_kernels_tables() {
        let info = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nflags\t: x\n";
        assert_eq!(field(info, "model name"), Some("AMD EPYC 9B14"));
        assert_eq!(memory_bytes("MemTotal:       24000000 kB\nMemFree: 1 kB\n"), 24_576_000_000);
        assert_eq!(memory_bytes(""), 0);
        let mounts =
            "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmpfs xfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/a")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/home")), "ext4");
        assert_eq!(file_system("", Path::new("/home")), UNKNOWN);
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.memory_bytes > 0, "{machine:?}");
        assert!(machine.kernel.len() > "Linux ".len() && machine.file_system != UNKNOWN);
    }
}
