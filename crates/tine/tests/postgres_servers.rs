//! Servers on branches: concurrent commands, and what stays the same from start to start.

mod lab;

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use lab::outside::{Outside, Stopped, free_port, query, with_programs};
use lab::{Lab, can_run, said, send, wait_until};
use serde_json::Value;

/// A store with branches of a small cluster.
fn branches(test: &str, names: &[&str]) -> Option<Lab> {
    let (lab, bin) = with_programs(test).filter(|_| can_run(test))?;
    let outside = Outside::start(bin, &lab);
    query(&outside.uri(), "create database shop");
    query(&outside.uri(), "create role reader login replication");
    let uri = outside.uri().replace("/postgres@", "/reader@").replace("/postgres", "/shop");
    let uri = uri.replace("postgresql://postgres@", "postgresql://reader@");
    let (first, others) = names.split_first().unwrap();
    lab.ok(&["postgres", "import", &uri, first]);
    for other in others {
        lab.ok(&["branch", other, "--from", first]);
    }
    Some(lab)
}

/// Begins a command and goes on.
fn begin(lab: &Lab, arguments: &[&str]) -> Child {
    let mut command = lab.command(&[&["--json"], arguments].concat());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command.spawn().unwrap()
}

fn end(child: Child) -> (i32, Value, String) {
    let said = said(child.wait_with_output().unwrap());
    (said.status, lab::object(&said.out), said.err)
}

fn count(lab: &Lab) -> usize {
    lab.json(&["postgres", "list"])["servers"].as_array().unwrap().len()
}

#[test]
fn commands_beside_one_another_wait_for_one_another() {
    let test = "commands_beside_one_another_wait_for_one_another";
    let names = ["a", "b", "c"];
    let Some(lab) = branches(test, &names) else { return };
    // Of one branch: one of them starts it, the others say that it runs.
    let starts: Vec<Child> = (0..3).map(|_| begin(&lab, &["postgres", "start", "a"])).collect();
    let ended: Vec<_> = starts.into_iter().map(end).collect();
    let (done, refused): (Vec<_>, Vec<_>) = ended.iter().partition(|(status, ..)| *status == 0);
    assert_eq!((done.len(), refused.len()), (1, 2), "{ended:?}");
    for (_, said, words) in refused {
        assert_eq!(said["error"]["code"], "branch-busy", "{words}");
        assert!(words.contains(done[0].1["uri"].as_str().unwrap()), "{words}");
    }
    // What all of them want is done once, and each reports success.
    let stops: Vec<Child> = (0..3).map(|_| begin(&lab, &["postgres", "stop", "a"])).collect();
    let ended: Vec<_> = stops.into_iter().map(end).collect();
    assert!(ended.iter().any(|(status, ..)| *status == 0), "{ended:?}");
    for (status, said, words) in &ended {
        // One that came when all was over finds no server.
        assert!(*status == 0 || said["error"]["code"] == "not-mounted", "{words}");
    }
    assert_eq!(count(&lab), 0);

    // Of several, with lists and a busy neighbour in between.
    for round in 0..2 {
        for verb in ["start", "stop"] {
            let mut work: Vec<Child> =
                names.iter().map(|name| begin(&lab, &["postgres", verb, name])).collect();
            work.extend((0..3).map(|_| begin(&lab, &["postgres", "list"])));
            let ended: Vec<_> = work.into_iter().map(end).collect();
            assert!(ended.iter().all(|(status, ..)| *status == 0), "{round} {verb}: {ended:?}");
            assert_eq!(count(&lab), if verb == "start" { 3 } else { 0 });
        }
    }
    assert_eq!(lab.mounts(), Vec::<String>::new());
}

#[test]
fn a_start_and_a_stop_at_once_leave_one_of_both_states() {
    let Some(lab) = branches("a_start_and_a_stop_at_once", &["a"]) else { return };
    for _ in 0..3 {
        let work =
            [begin(&lab, &["postgres", "start", "a"]), begin(&lab, &["postgres", "stop", "a"])];
        let [start, stop] = work.map(end);
        // A stop ends the start that it finds in progress.
        let code = &start.1["error"]["code"];
        assert!(start.0 == 0 || stop.0 == 0 && code == "interrupted", "{start:?} {stop:?}");
        assert!(stop.0 == 0 || stop.1["error"]["code"] == "not-mounted", "{stop:?}");
        assert_eq!(count(&lab), usize::from(stop.0 != 0));
        if stop.0 != 0 {
            lab.ok(&["postgres", "stop", "a"]);
        }
    }
}

#[test]
fn a_start_that_is_killed_leaves_nothing_that_the_next_cannot_take_over() {
    let Some(lab) = branches("a_start_that_is_killed", &["a"]) else { return };
    for delay_ms in [0, 30, 100, 300, 1000] {
        let mut start = begin(&lab, &["postgres", "start", "a"]);
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        send("KILL", start.id());
        start.wait().unwrap();
        let row = match lab.run(&["--json", "postgres", "start", "a"]) {
            said if said.status == 0 => lab::object(&said.out),
            // It was done before it was killed.
            said => {
                assert_eq!(lab::object(&said.out)["error"]["code"], "branch-busy", "{said:?}");
                lab.json(&["postgres", "list"])["servers"][0].clone()
            }
        };
        assert_eq!(query(row["uri"].as_str().unwrap(), "select 1"), "1");
        lab.ok(&["postgres", "stop", "a"]);
        wait_until("the mount is gone", || lab.list()[0]["mounted_at"].is_null());
    }
}

#[test]
fn a_server_keeps_its_port_and_leads_to_the_database_that_was_imported() {
    let test = "a_server_keeps_its_port_and_leads_to_the_database_that_was_imported";
    let Some(lab) = branches(test, &["main", "fork"]) else { return };
    let start = |name: &str| lab.json(&["postgres", "start", name]);
    let uri = |row: &Value| row["uri"].as_str().unwrap().to_owned();
    let (main, fork) = (start("main"), start("fork"));
    assert_ne!(main["port"], fork["port"]);
    for row in [&main, &fork] {
        assert!(uri(row).contains("/shop?"), "{row}");
        // `reader` may replicate and read next to nothing; the URI is for work.
        let who = query(
            &uri(row),
            "select current_database(), rolsuper from pg_roles where rolname = current_user",
        );
        assert_eq!(who, "shop|t");
    }
    for name in ["main", "fork"] {
        lab.ok(&["postgres", "stop", name]);
    }
    // In the other order, so that it is not luck.
    let (fork_again, main_again) = (start("fork"), start("main"));
    assert_eq!((&main["port"], uri(&main)), (&main_again["port"], uri(&main_again)));
    assert_eq!(fork["port"], fork_again["port"]);

    // A port that was asked for is kept as well, and one that is taken meanwhile is given up.
    lab.ok(&["postgres", "stop", "fork"]);
    let asked = free_port();
    let row = lab.json(&["postgres", "start", "fork", "--port", &asked.to_string()]);
    assert_eq!(row["port"], asked);
    lab.ok(&["postgres", "stop", "fork"]);
    assert_eq!(start("fork")["port"], asked);
    lab.ok(&["postgres", "stop", "fork"]);
    let taken = std::net::TcpListener::bind(("127.0.0.1", asked)).unwrap();
    let words = lab.fails(&["postgres", "start", "fork", "--port", &asked.to_string()], "io");
    assert!(words.contains(&format!("port {asked} of 127.0.0.1 is taken")), "{words}");
    assert!(words.contains("--port") && !words.contains("settings"), "{words}");
    let row = start("fork");
    assert_ne!(row["port"], asked);
    assert_eq!(query(&uri(&row), "select 1"), "1");
    drop(taken);
    // A database that is gone is not led to.
    query(&uri(&row), "select 1");
    let other = uri(&row).replace("/shop?", "/postgres?");
    query(&other, "drop database shop");
    lab.ok(&["postgres", "stop", "fork"]);
    assert_eq!(query(&uri(&start("fork")), "select current_database()"), "postgres");
    for name in ["main", "fork"] {
        lab.ok(&["postgres", "stop", name]);
    }
}

#[test]
fn a_server_is_found_from_a_session_with_another_runtime_directory() {
    let test = "a_server_is_found_from_a_session_with_another_runtime_directory";
    let Some(lab) = branches(test, &["a"]) else { return };
    let (first, second) = (lab.make_directory("r1"), lab.make_directory("r2"));
    let run = |runtime: &std::path::Path, arguments: &[&str]| {
        let mut command = lab.command(arguments);
        said(command.env("XDG_RUNTIME_DIR", runtime).output().unwrap())
    };
    assert_eq!(run(&first, &["postgres", "start", "a"]).status, 0);
    assert!(run(&second, &["postgres", "list"]).out.starts_with("a "));
    assert_eq!(run(&second, &["postgres", "start", "a"]).status, 1, "it runs already");
    let stopped = run(&second, &["postgres", "stop", "a"]);
    assert_eq!(stopped.status, 0, "{stopped:?}");
    for runtime in [&first, &second] {
        assert_eq!(std::fs::read_dir(runtime).unwrap().count(), 0, "{}", runtime.display());
    }
    lab.ok(&["delete", "a"]);
}

#[test]
fn a_stopped_server_and_a_start_in_progress_can_be_ended() {
    let test = "a_stopped_server_and_a_start_in_progress_can_be_ended";
    let Some(lab) = branches(test, &["a"]) else { return };
    let start = |name: &str| lab.json(&["postgres", "start", name]);
    let quickly = |arguments: &[&str]| {
        let begun = Instant::now();
        lab.ok(arguments);
        assert!(begun.elapsed() < Duration::from_secs(25), "{arguments:?}: {:?}", begun.elapsed());
    };
    let row = start("a");
    query(row["uri"].as_str().unwrap(), "alter system set post_auth_delay = 300");
    send("STOP", u32::try_from(row["pid"].as_u64().unwrap()).unwrap());
    quickly(&["postgres", "stop", "a"]);

    // No connection is let in for five minutes.
    let is_mounted = |name: &str| {
        lab.list().iter().any(|row| row["name"] == name && !row["mounted_at"].is_null())
    };
    lab.ok(&["branch", "b", "--from", "a"]);
    for (name, end_it) in
        [("a", &["postgres", "stop", "a"][..]), ("b", &["delete", "b", "--force"])]
    {
        let waiting = begin(&lab, &["postgres", "start", name]);
        wait_until("the start is in progress", || is_mounted(name));
        quickly(end_it);
        let (_, said, words) = end(waiting);
        assert_eq!(said["error"]["code"], "interrupted", "{said} {words}");
        assert!(!is_mounted(name), "{name}");
    }
    assert_eq!(lab.names(), ["a"]);
    lab.fails(&["postgres", "stop", "a"], "not-mounted");
}

#[test]
fn what_a_start_refuses_of_settings_and_pipes_is_told_when_a_data_directory_is_imported() {
    let test =
        "what_a_start_refuses_of_settings_and_pipes_is_told_when_a_data_directory_is_imported";
    let Some((lab, bin)) = with_programs(test).filter(|_| can_run(test)) else { return };
    let original = Stopped::make(&bin, &lab);
    original.bring_wal_in();
    let data = original.data.to_str().unwrap();
    let refused = |name: &str, named: &str| {
        let said = lab.run(&["import", data, name]);
        assert_eq!(said.status, 0, "{said:?}");
        assert!(said.err.contains("`tine postgres start` will refuse"), "{said:?}");
        assert!(said.err.contains(named), "{said:?}");
        let words = lab.fails(&["postgres", "start", name], "unsupported");
        assert!(words.contains(named), "{words}");
    };
    let conf = original.data.join("postgresql.conf");
    let good = fs::read_to_string(&conf).unwrap();
    let up = "../".repeat(20);
    for (number, line) in [
        format!("jit_provider = '{up}tmp/evil'"),
        format!("shared_preload_libraries = '$libdir/{up}tmp/evil'"),
        format!("dynamic_library_path = '$libdir/{up}tmp'"),
    ]
    .iter()
    .enumerate()
    {
        fs::write(&conf, format!("{good}\n{line}\n")).unwrap();
        refused(&format!("code-{number}"), line.split(' ').next().unwrap());
    }
    fs::write(&conf, good).unwrap();
    let make_pipe = |name: &str| {
        assert!(Command::new("mkfifo").arg(original.data.join(name)).status().unwrap().success());
    };
    make_pipe("postmaster.pid");
    let said = lab.run(&["import", data, "pid"]);
    assert!(said.err.contains("postmaster.pid is a pipe"), "{said:?}");
    fs::remove_file(original.data.join("postmaster.pid")).unwrap();
    make_pipe("backup_label");
    refused("label", "backup_label is a pipe");
}
