//! The story of a live PostgreSQL: taken in while it runs, branched, migrated in one branch while
//! another serves, and nothing else has changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::report::{Line, Report, megabytes, time};
use super::stage::{Stage, allocated};
use super::{BRANCHES, step};
use crate::process;

/// pgbench's scale: 40 is about 600 MB of tables and indexes.
const SCALE: &str = "40";

/// What tells whether the data is the same: counts, sums and the definition of the table.
const FINGERPRINT: &str = "select count(*), sum(abalance::bigint * (aid % 1009 + 1)), \
    (select string_agg(attname, ',' order by attnum) from pg_attribute \
     where attrelid = 'pgbench_accounts'::regclass and attnum > 0 and not attisdropped), \
    (select count(*) from pgbench_history) from pgbench_accounts";

/// A migration that is not tried on the only copy.
const MIGRATION: &str = "begin; drop table pgbench_history cascade; \
    alter table pgbench_accounts drop column filler; \
    update pgbench_accounts set abalance = 1 where aid % 10 = 0; \
    create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22)); commit";

/// Plays it all, and adds its line to the report.
pub fn tell(stage: &Stage, report: &mut Report) -> Result<()> {
    let Some(server) = Original::start(stage)? else {
        println!(
            "going on without PostgreSQL: no server's programs under /usr/lib/postgresql or on the path"
        );
        return Ok(());
    };
    let before = server.ask(&server.uri, FINGERPRINT)?;

    step("taking the running server's data in: tine postgres import");
    let taken = stage.tine(&["postgres", "import", &server.uri, "shop"])?;
    println!(
        "{} in {}",
        megabytes(taken["bytes"].as_u64().unwrap_or(0)),
        elapsed(&taken["elapsed_us"])
    );
    step(&format!("{BRANCHES} branches: tine branch try --from shop --count {BRANCHES}"));
    let made =
        stage.tine(&["branch", "try", "--from", "shop", "--count", &BRANCHES.to_string()])?;
    let branches: Vec<Duration> = made["created"]
        .as_array()
        .context("`created` in the JSON")?
        .iter()
        .map(|branch| Duration::from_micros(branch["elapsed_us"].as_u64().unwrap_or(0)))
        .collect();
    ensure!(branches.len() == BRANCHES, "{} branches were made", branches.len());
    println!("{} for all", time(branches.iter().sum()));

    step("servers on two of them; the original goes on");
    let [first, second] = ["try-1", "try-2"].map(|name| start_on(stage, name));
    let (first, second) = (first?, second?);
    migrate_beside_load(stage, &server, &first, &second)?;

    step("has anything else changed?");
    let original = server.ask(&server.uri, FINGERPRINT)?;
    ensure!(original == before, "the original differs: {original} was {before}");
    println!("the original server: as before");
    let sibling = start_on(stage, "try-3")?;
    for (name, uri) in [("try-3", sibling), ("shop", start_on(stage, "shop")?)] {
        let found = server.ask(&uri, FINGERPRINT)?;
        ensure!(found == before, "{name} differs: {found}, not {before}");
        println!("{name}: as before");
    }
    let migrated = server.ask(&first, FINGERPRINT)?;
    ensure!(migrated != before, "the migration left no trace in try-1");
    println!("try-1 after the migration: {migrated}\nall others:                {before}");

    for name in ["try-1", "try-2", "try-3", "shop"] {
        stage.tine(&["postgres", "stop", name])?;
    }
    server.stop(stage)?;
    measure(stage, branches, report)
}

/// The migration in one branch while another takes pgbench's load.
fn migrate_beside_load(
    stage: &Stage,
    server: &Original,
    migrated: &str,
    loaded: &str,
) -> Result<()> {
    step("a destructive migration in try-1, while try-2 serves pgbench");
    let mut load = Command::new(server.program("pgbench"));
    load.args(["-n", "-c", "2", "-j", "2", "-T", "10", loaded]);
    let running = stage.start(&mut load)?;
    let begun = Instant::now();
    server.ask(migrated, MIGRATION)?;
    println!("try-1 migrated in {}", time(begun.elapsed()));
    let output = stage.finish(running)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "pgbench on try-2: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tps =
        text.lines().find(|line| line.starts_with("tps = ")).context("`tps = ` from pgbench")?;
    println!("try-2 meanwhile: {tps}");
    Ok(())
}

/// One copy of the original's directory, and what each branch holds alone.
fn measure(stage: &Stage, branches: Vec<Duration>, report: &mut Report) -> Result<()> {
    let copy = stage.path("copy");
    let begun = Instant::now();
    stage.capture(Command::new("cp").arg("-a").arg(stage.path("original")).arg(&copy))?;
    let duration = begun.elapsed();
    let copy_bytes = allocated(&copy)?;
    fs::remove_dir_all(&copy)?;
    let mut exclusive_bytes = Vec::new();
    for n in 1..=BRANCHES {
        let name = format!("try-{n}");
        let usage = stage.tine(&["usage", &name])?;
        exclusive_bytes.push((
            name,
            usage["exclusive_bytes"].as_u64().context("`exclusive_bytes` in the JSON")?,
        ));
    }
    report.lines.push(Line {
        what: "PostgreSQL".into(),
        copy: duration,
        copy_bytes,
        branches,
        exclusive_bytes,
    });
    Ok(())
}

fn start_on(stage: &Stage, branch: &str) -> Result<String> {
    let started = stage.tine(&["postgres", "start", branch])?;
    let uri = started["uri"].as_str().context("`uri` in the JSON")?.to_owned();
    println!("{branch}: {} — {uri}", elapsed(&started["elapsed_us"]));
    Ok(uri)
}

fn elapsed(micros: &serde_json::Value) -> String {
    time(Duration::from_micros(micros.as_u64().unwrap_or(0)))
}

/// A database that exists already: made here, served by its own programs.
struct Original {
    programs: PathBuf,
    uri: String,
}

impl Original {
    /// `None` when the server's programs are nowhere to be found.
    fn start(stage: &Stage) -> Result<Option<Self>> {
        let Some(programs) = programs() else { return Ok(None) };
        step(&format!("a PostgreSQL as anybody has it: pgbench, scale {SCALE}"));
        let (data, sockets) = (stage.path("original"), stage.path("sockets"));
        for directory in [&data, &sockets] {
            fs::create_dir(directory)?;
            if process::is_root() {
                stage.capture(Command::new("chown").arg("postgres").arg(directory))?;
            }
        }
        let server = Self {
            uri: format!("postgresql://shop@/postgres?host={}&port=54320", sockets.display()),
            programs,
        };
        stage.capture(
            server.as_owner("initdb").args(["-N", "-U", "shop", "-A", "trust", "-D"]).arg(&data),
        )?;
        let options = format!(
            "-c listen_addresses= -c port=54320 -c unix_socket_directories={}",
            sockets.display()
        );
        let mut start = server.as_owner("pg_ctl");
        start
            .args(["-s", "-w", "-o", &options, "-l"])
            .arg(sockets.join("log"))
            .arg("-D")
            .arg(&data)
            .arg("start");
        stage.capture(&mut start)?;
        stage.capture(Command::new(server.program("pgbench")).args([
            "-i",
            "-q",
            "-s",
            SCALE,
            &server.uri,
        ]))?;
        let size = server.ask(&server.uri, "select sum(pg_database_size(oid)) from pg_database")?;
        println!("{} of databases", megabytes(size.parse().unwrap_or(0)));
        Ok(Some(server))
    }

    fn stop(&self, stage: &Stage) -> Result<()> {
        let mut stop = self.as_owner("pg_ctl");
        stop.args(["-s", "-w", "-m", "fast", "-D"]).arg(stage.path("original")).arg("stop");
        stage.capture(&mut stop).map(drop)
    }

    /// What a query answers, over psql.
    fn ask(&self, uri: &str, query: &str) -> Result<String> {
        let mut psql = Command::new(self.program("psql"));
        psql.args(["-X", "-A", "-t", "-w", "-q", "-v", "ON_ERROR_STOP=1", "-d", uri, "-c", query]);
        Ok(process::capture(&mut psql)?.trim().to_owned())
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// PostgreSQL refuses root; its package's user stands in.
    fn as_owner(&self, name: &str) -> Command {
        if !process::is_root() {
            return Command::new(self.program(name));
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
            .arg(self.program(name));
        command.current_dir("/");
        command
    }
}

/// The newest installed server's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.sort_by_key(|path| {
        path.parent().and_then(Path::file_name).and_then(|v| v.to_str()?.parse::<u32>().ok())
    });
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let complete = |path: &&PathBuf| {
        ["initdb", "pg_ctl", "pgbench", "psql"].iter().all(|name| path.join(name).is_file())
    };
    found.iter().rev().find(complete).cloned()
}
