//! The story of a directory with a SQLite database: imported, branched, broken in one branch.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::report::{Line, Report, megabytes, time};
use super::stage::{Stage, allocated};
use super::{BRANCHES, step};

const MAKE: &str = "pragma journal_mode = wal; \
    create table visits (id integer primary key, page text, seen real); \
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000) \
    insert into visits select i, 'page ' || (i * 7919 % 100003) || hex(randomblob(40)), i * 0.5 from n; \
    create index by_page on visits (page)";
const FINGERPRINT: &str = "select count(*), sum(id * length(page)) from visits";
const DAMAGE: &str =
    "delete from visits where id % 3 = 0; drop index by_page; update visits set seen = 0";

/// Plays it all, and adds its line to the report.
pub fn tell(stage: &Stage, report: &mut Report) -> Result<()> {
    step("a directory with a SQLite database");
    let app = stage.path("app");
    fs::create_dir(&app)?;
    fs::write(app.join("settings.toml"), "[shop]\ncurrency = \"EUR\"\n")?;
    sql(stage, &app.join("visits.db"), MAKE)?;
    let before = sql(stage, &app.join("visits.db"), FINGERPRINT)?;
    println!("{}", megabytes(allocated(&app)?));

    step("tine import, and as many branches");
    let app_text = app.to_str().context("a path in UTF-8")?;
    let taken = stage.tine(&["import", app_text, "app"])?;
    println!(
        "imported in {}",
        time(Duration::from_micros(taken["elapsed_us"].as_u64().unwrap_or(0)))
    );
    let made =
        stage.tine(&["branch", "idea", "--from", "app", "--count", &BRANCHES.to_string()])?;
    let branches: Vec<Duration> = made["created"]
        .as_array()
        .context("`created` in the JSON")?
        .iter()
        .map(|branch| Duration::from_micros(branch["elapsed_us"].as_u64().unwrap_or(0)))
        .collect();

    step("damage in idea-1, written through its mount; a look at idea-2");
    for (name, query) in [("idea-1", DAMAGE), ("idea-2", "pragma integrity_check")] {
        let mount = stage.path(name);
        fs::create_dir(&mount)?;
        stage.tine(&["mount", name, mount.to_str().context("a path in UTF-8")?])?;
        sql(stage, &mount.join("visits.db"), query)?;
    }
    let sibling = stage.path("idea-2/visits.db");
    let whole = sql(stage, &sibling, "pragma integrity_check")?;
    ensure!(whole == "ok", "integrity_check in idea-2: {whole}");
    let damaged = sql(stage, &stage.path("idea-1/visits.db"), FINGERPRINT)?;
    for (name, found) in [
        ("idea-2", sql(stage, &sibling, FINGERPRINT)?),
        ("the directory it came from", sql(stage, &app.join("visits.db"), FINGERPRINT)?),
    ] {
        ensure!(found == before, "{name} differs: {found}, not {before}");
        println!("{name}: as before");
    }
    ensure!(damaged != before, "the damage left no trace in idea-1");
    for name in ["idea-1", "idea-2"] {
        stage.tine(&["unmount", name])?;
    }
    println!("\n$ tine diff idea-1");
    print!("{}", stage.capture(&mut stage.command(&["diff", "idea-1"]))?);
    measure(stage, &app, branches, report)
}

fn measure(stage: &Stage, app: &Path, branches: Vec<Duration>, report: &mut Report) -> Result<()> {
    let copy = stage.path("copy");
    let begun = Instant::now();
    stage.capture(Command::new("cp").arg("-a").arg(app).arg(&copy))?;
    let duration = begun.elapsed();
    let copy_bytes = allocated(&copy)?;
    let mut exclusive_bytes = Vec::new();
    for n in 1..=BRANCHES {
        let name = format!("idea-{n}");
        let usage = stage.tine(&["usage", &name])?;
        exclusive_bytes.push((
            name,
            usage["exclusive_bytes"].as_u64().context("`exclusive_bytes` in the JSON")?,
        ));
    }
    report.lines.push(Line {
        what: "SQLite".into(),
        copy: duration,
        copy_bytes,
        branches,
        exclusive_bytes,
    });
    Ok(())
}

/// What SQLite's own program answers.
fn sql(stage: &Stage, database: &Path, query: &str) -> Result<String> {
    let text = stage.capture(Command::new("sqlite3").arg("-batch").arg(database).arg(query))?;
    Ok(text.trim().to_owned())
}
