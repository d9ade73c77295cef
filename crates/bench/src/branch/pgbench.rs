//! PostgreSQL on a fork, compared with PostgreSQL on copies and on clones of other file systems.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_service::postgres::{Cluster, Installation, Launch, Server};

use super::device::{Kind, LoopDevice};
use super::lab::{Lab, drop_caches, execute, utf8};

/// pgbench's scale. 100 is about 1.5 GB of tables.
const LARGE_SCALE: u32 = 200;
const STEADY_SCALE: u32 = 20;
const CLIENTS: [&str; 4] = ["-c", "2", "-j", "2"];

/// Prints the rows of PostgreSQL.
pub fn run(table: &mut Table) -> Result<()> {
    let rows = [
        "pgbench TPC-B, first 25 s on a fork of 3 GB",
        "pgbench TPC-B, steady, scale 20",
        "pgbench select-only, warm, scale 20",
    ];
    if !rows.iter().any(|what| table.wants(what)) {
        return Ok(());
    }
    let Some(installation) = Installation::all().into_iter().next() else {
        for what in rows {
            table.not_run(what, "PostgreSQL is not installed");
        }
        return Ok(());
    };
    steady(table, &installation, rows[1], rows[2])?;
    fresh_fork(table, &installation, rows[0])
}

/// In each round every contestant gets a fresh clone of the same cluster, warmed for 5 s by
/// reading.
fn fresh_fork(table: &mut Table, installation: &Installation, what: &str) -> Result<()> {
    if !table.wants(what) {
        return Ok(());
    }
    let lab = Lab::new()?;
    let source = lab.plain().join("source");
    make_cluster(&lab, installation, &source, LARGE_SCALE)?;
    lab.tine(&["import", utf8(&source)?, "base"])?;
    let mut devices = Vec::new();
    for kind in [Kind::Btrfs, Kind::Xfs] {
        let device = LoopDevice::new(&lab.path(kind.file_name()), kind, 24 << 30);
        match device.and_then(|device| {
            device.make_original(&source, &device.directory().join("original")).map(|()| device)
        }) {
            Ok(device) => devices.push((kind, device)),
            Err(error) => table.not_run(&format!("{what}, {}", kind.name()), &format!("{error:#}")),
        }
    }

    let (mut forks, mut copies, mut clones) = (0, 0, vec![0; devices.len()]);
    let mut rounds = Rounds::new(5).cold();
    rounds.contestant(|| {
        forks += 1;
        let name = format!("fork-{forks}");
        lab.tine(&["branch", &name, "--from", "base"])?;
        drop_caches();
        let started = lab.tine(&["postgres", "start", &name])?;
        let uri = started["uri"].as_str().context("`uri` in the JSON")?;
        let tps = warm_tps(installation, uri);
        lab.tine(&["postgres", "stop", &name])?;
        lab.tine(&["delete", &name, "--force", "--now"])?;
        tps
    });
    rounds.contestant(|| {
        copies += 1;
        let copy = lab.plain().join(format!("copy-{copies}"));
        execute("cp", &["-a", utf8(&source)?, utf8(&copy)?])?;
        let tps = on_directory(&lab, installation, &copy)?;
        std::fs::remove_dir_all(&copy)?;
        Ok(tps)
    });
    for ((_, device), number) in devices.iter().zip(&mut clones) {
        let (lab, source) = (&lab, device.directory().join("original"));
        rounds.contestant(move || {
            *number += 1;
            let clone = device.directory().join(format!("clone-{number}"));
            device.clone(&source, &clone)?;
            on_directory(lab, installation, &clone)
        });
    }
    let samples = rounds.run()?;
    table.row(what, Unit::PerSecond, &samples[0]).peer("cp -a", &samples[1]).bar(Bar::Printed);
    table.note("goal: ≥ 0.9× of cp -a");
    for ((kind, _), peer) in devices.iter().zip(&samples[2..]) {
        table
            .row(what, Unit::PerSecond, &samples[0])
            .peer(kind.name(), peer)
            .bar(Bar::SpeedAtLeast(1.0));
    }
    table.print_probe();
    Ok(())
}

/// Two servers, ours on a fork, loaded in turn after a first load. The pages of the plain one are
/// in the host's cache since they were made. Those of the fork are not: reading loads them.
fn steady(table: &mut Table, installation: &Installation, writes: &str, reads: &str) -> Result<()> {
    if !table.wants(writes) && !table.wants(reads) {
        return Ok(());
    }
    let lab = Lab::new()?;
    let source = lab.plain().join("source");
    make_cluster(&lab, installation, &source, STEADY_SCALE)?;
    lab.tine(&["import", utf8(&source)?, "base"])?;
    lab.tine(&["branch", "fork", "--from", "base"])?;
    let started = lab.tine(&["postgres", "start", "fork"])?;
    let ours = started["uri"].as_str().context("`uri` in the JSON")?.to_owned();
    let plain = start(&lab, &source)?;
    let measured = (|| -> Result<()> {
        for uri in [&ours, &plain.uri] {
            pgbench(installation, uri, &["-S", "-T", "8"])?;
            pgbench(installation, uri, &["-T", "8"])?;
        }
        for (what, load, bar) in
            [(writes, &["-T", "5"][..], 0.9), (reads, &["-S", "-T", "3"], 0.95)]
        {
            if table.wants(what) {
                let samples = side_by_side(installation, &ours, &plain.uri, load)?;
                let row = table.row(what, Unit::PerSecond, &samples[0]);
                row.peer("plain", &samples[1]).bar(Bar::SpeedAtLeast(bar));
                table.print_probe();
            }
        }
        Ok(())
    })();
    plain.stop().map_err(|error| anyhow!(error))?;
    lab.tine(&["postgres", "stop", "fork"])?;
    measured
}

fn side_by_side(
    installation: &Installation,
    ours: &str,
    plain: &str,
    load: &[&str],
) -> Result<Vec<Samples>> {
    let mut rounds = Rounds::new(5).cold();
    rounds.contestant(|| pgbench(installation, ours, load));
    rounds.contestant(|| pgbench(installation, plain, load));
    rounds.run()
}

fn make_cluster(
    lab: &Lab,
    installation: &Installation,
    directory: &Path,
    scale: u32,
) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut initdb = vec!["-N", "-U", "postgres", "-A", "trust", "-D", utf8(directory)?];
    let program = installation.program("initdb");
    let program = utf8(&program)?;
    if rustix::process::geteuid().is_root() {
        execute("chown", &["postgres", utf8(directory)?])?;
        let mut arguments = vec!["--reuid=postgres", "--regid=postgres", "--clear-groups", program];
        arguments.append(&mut initdb);
        execute("setpriv", &arguments)?;
    } else {
        execute(program, &initdb)?;
    }
    let server = start(lab, directory)?;
    let scale = scale.to_string();
    let made = pgbench_command(installation, &server.uri, &["-i", "-q", "-s", &scale]);
    server.stop().map_err(|error| anyhow!(error))?;
    made.map(drop)
}

/// Starts a server on a plain directory, with the settings that tine gives its servers.
fn start(lab: &Lab, directory: &Path) -> Result<Server> {
    let cluster = Cluster::open(directory).map_err(|error| anyhow!(error))?;
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let runtime: PathBuf = lab.path(&format!("run-{name}"));
    let launch = Launch {
        cluster: &cluster,
        identity: &name,
        label: &name,
        runtime: &runtime,
        port: None,
        patience: Duration::from_secs(120),
    };
    launch.start().map_err(|error| anyhow!(error))
}

fn on_directory(lab: &Lab, installation: &Installation, directory: &Path) -> Result<f64> {
    drop_caches();
    let server = start(lab, directory)?;
    let tps = warm_tps(installation, &server.uri);
    server.stop().map_err(|error| anyhow!(error))?;
    tps
}

fn warm_tps(installation: &Installation, uri: &str) -> Result<f64> {
    pgbench(installation, uri, &["-S", "-T", "5"])?;
    let begun = Instant::now();
    let tps = pgbench(installation, uri, &["-T", "25"])?;
    anyhow::ensure!(
        begun.elapsed() < Duration::from_secs(60),
        "pgbench took far more than its 25 s"
    );
    Ok(tps)
}

/// Transactions per second.
fn pgbench(installation: &Installation, uri: &str, load: &[&str]) -> Result<f64> {
    let text = pgbench_command(installation, uri, &[&["-n"], &CLIENTS[..], load].concat())?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .context("`tps = ` from pgbench")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}

fn pgbench_command(installation: &Installation, uri: &str, arguments: &[&str]) -> Result<String> {
    let program = installation.program("pgbench");
    execute(utf8(&program)?, &[arguments, &[uri]].concat())
}
