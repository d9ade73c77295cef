//! PostgreSQL on branches, with the installed server.

mod lab;

use std::time::Duration;

use lab::outside::{
    BALANCED, Outside, Stopped, free_port, pgbench, programs, query, with_programs,
};
use lab::{Lab, can_mount, can_run, send, wait_until};
use serde_json::Value;

/// What `tine check` finds, shortened.
fn sound(lab: &Lab, when: &str) {
    let said = lab.run(&["check", "--json"]);
    let beginning: String = said.out.chars().take(600).collect();
    assert_eq!(said.status, 0, "{when}: {beginning}");
}

fn uri(row: &Value) -> String {
    row["uri"].as_str().unwrap().to_owned()
}

#[test]
fn a_running_server_is_taken_in_forked_while_it_serves_and_cleaned_up_after_any_death() {
    let test = "a_running_server_is_taken_in_forked_while_it_serves_and_cleaned_up_after_any_death";
    let Some((lab, bin)) = with_programs(test) else { return };
    let outside = Outside::start(bin.clone(), &lab);
    let status = pgbench(&bin, &outside.uri(), &["-i", "-q", "-s", "1"]).wait().unwrap();
    assert!(status.success());

    // A plain import would tear it; the base backup does not.
    let words = lab.fails(&["import", outside.data.to_str().unwrap(), "x"], "base-changed");
    assert!(words.contains("tine postgres import"), "{words}");
    let taken = lab.json(&["postgres", "import", &outside.uri(), "main"]);
    assert!(taken["bytes"].as_u64().unwrap() > 10_000_000);
    assert!(taken["elapsed_us"].is_u64() && taken["branch"] == "main", "{taken}");
    lab.fails(&["postgres", "import", &outside.uri(), "main"], "branch-exists");
    assert_eq!(lab.mounts(), Vec::<String>::new());

    sound(&lab, "taken in");
    let main = lab.json(&["postgres", "start", "main"]);
    let fields: Vec<&String> = main.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["branch", "elapsed_us", "pid", "port", "uri", "version"]);
    lab.fails(&["postgres", "start", "main"], "branch-busy");
    assert_eq!(query(&uri(&main), "select count(*) from pgbench_accounts"), "100000");

    // Forked in full flight, while the source goes on.
    let mut load = pgbench(&bin, &uri(&main), &["-T", "4", "-c", "2"]);
    std::thread::sleep(Duration::from_millis(1500));
    lab.ok(&["branch", "fork", "--from", "main"]);
    let fork = lab.json(&["postgres", "start", "fork"]);
    assert_eq!(query(&uri(&fork), BALANCED), "t");
    query(&uri(&fork), "drop table pgbench_history");
    assert!(load.wait().unwrap().success(), "the source was disturbed");
    assert_eq!(query(&uri(&main), BALANCED), "t");
    let servers = lab.json(&["postgres", "list"])["servers"].clone();
    assert_eq!((&servers[0]["branch"], &servers[1]["branch"]), (&"fork".into(), &"main".into()));
    for command in ["delete", "unmount"] {
        let said = lab.fails(&[command, "main"], "branch-busy");
        assert!(said.contains("a PostgreSQL server runs on branch main"), "{said}");
        assert!(said.contains("tine postgres stop main"), "{said}");
    }
    sound(&lab, "two servers have worked");

    // A killed server is noticed, and starts again by recovery.
    send("KILL", u32::try_from(main["pid"].as_u64().unwrap()).unwrap());
    wait_until("the killed server is off the list", || {
        lab.json(&["postgres", "list"])["servers"].as_array().unwrap().len() == 1
    });
    let main = lab.json(&["postgres", "start", "main"]);
    assert_eq!(query(&uri(&main), BALANCED), "t");

    // A killed holder takes its mounts along; the next commands tidy up, and what was committed is
    // there.
    sound(&lab, "a server was killed");
    query(&uri(&main), "create table committed as select 42 as n");
    lab.kill_holder();
    assert_eq!(lab.json(&["postgres", "list"])["servers"], serde_json::json!([]));
    sound(&lab, "the holder was killed");
    let main = lab.json(&["postgres", "start", "main"]);
    assert_eq!(query(&uri(&main), "select n from committed"), "42");

    assert_eq!(lab.json(&["postgres", "stop", "main"])["branch"], "main");
    lab.fails(&["postgres", "stop", "main"], "not-mounted");
    let fork = lab.json(&["postgres", "start", "fork", "--port", &free_port().to_string()]);
    assert!(fork["port"].is_u64());
    lab.ok(&["delete", "fork", "--force"]);
    assert_eq!(lab.names(), ["main"]);
    sound(&lab, "all servers are gone");
}

#[test]
fn a_branch_without_a_data_directory_has_no_server() {
    let test = "a_branch_without_a_data_directory_has_no_server";
    if !can_mount(test) {
        return;
    }
    let lab = Lab::with_main();
    let said = lab.fails(&["postgres", "start", "main"], "unsupported");
    assert!(said.contains("branch main cannot be served: no PostgreSQL data directory"), "{said}");
    lab.fails(&["postgres", "start", "nobody"], "branch-not-found");
    lab.fails(&["postgres", "stop", "main"], "not-mounted");
    assert!(lab.list()[0]["mounted_at"].is_null());
}

#[test]
fn a_server_that_cannot_be_reached_is_named_and_nothing_is_made() {
    let test = "a_server_that_cannot_be_reached_is_named_and_nothing_is_made";
    if programs().is_none() {
        println!("skipped: {test}: no PostgreSQL server is installed");
        return;
    }
    if !lab::can_run(test) {
        return;
    }
    let lab = Lab::new();
    let uri = format!("postgresql://postgres@127.0.0.1:{}/postgres", free_port());
    let said = lab.run(&["postgres", "import", &uri, "x"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("error: ") && !said.err.contains("panicked"), "{said:?}");
    wait_until("the reservation is gone", || lab.branches_of_all_kinds() == Some(0));
    assert_eq!(lab.mounts(), Vec::<String>::new());
}

#[test]
fn an_import_that_is_killed_leaves_no_branch_and_no_directory() {
    let test = "an_import_that_is_killed_leaves_no_branch_and_no_directory";
    let Some((lab, bin)) = with_programs(test).filter(|_| can_run(test)) else { return };
    let outside = Outside::start(bin.clone(), &lab);
    assert!(pgbench(&bin, &outside.uri(), &["-i", "-q", "-s", "10"]).wait().unwrap().success());
    for victim in ["the holder", "the command"] {
        let mut import =
            lab.command(&["postgres", "import", &outside.uri(), "main"]).spawn().unwrap();
        wait_until("the branch is being filled", || {
            lab.json(&["usage"])["data_bytes"].as_u64().unwrap() > 16 << 20
        });
        match victim {
            "the holder" => lab.kill_holder(),
            _ => send("KILL", import.id()),
        }
        assert!(!import.wait().unwrap().success(), "{victim}");
        assert_eq!(lab.json(&["usage"])["branches"], 0);
        wait_until("the half-made branch is gone", || {
            lab.json(&["usage"])["data_bytes"].as_u64().unwrap() < 1 << 20
        });
        wait_until("the holder has gone", || lab.holder().is_none());
        assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]), "{victim}");
    }
    lab.ok(&["postgres", "import", &outside.uri(), "main"]);
    assert_eq!(lab.names(), ["main"]);
}

#[test]
fn a_data_directory_that_leads_out_is_named_when_it_is_imported_and_refused_when_it_is_started() {
    let test = "a_data_directory_that_leads_out_is_named_when_it_is_imported_and_refused_when_it_is_started";
    let Some((lab, bin)) = with_programs(test) else { return };
    let original = Stopped::make(&bin, &lab);
    let data = original.data.to_str().unwrap();
    let before = original.picture();

    let said = lab.run(&["import", data, "main"]);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.err.contains("`tine postgres start` will refuse"), "{said:?}");
    assert!(said.err.contains("pg_wal -> "), "{said:?}");
    let words = lab.fails(&["postgres", "start", "main"], "unsupported");
    assert!(words.contains("pg_wal") && words.contains(original.wal.to_str().unwrap()), "{words}");
    assert!(lab.list()[0]["mounted_at"].is_null());
    assert_eq!(lab.mounts(), Vec::<String>::new());

    // By a link that leads out of the branch to the original itself.
    let tree = lab.make_directory("tree");
    std::os::unix::fs::symlink(&original.data, tree.join("current")).unwrap();
    lab.ok(&["import", tree.to_str().unwrap(), "links"]);
    for path in
        ["current", "/current", "../../../../../../../../../../..", original.data.to_str().unwrap()]
    {
        let said = lab.run(&["postgres", "start", "links", "--data-dir", path]);
        assert_eq!(said.status, 1, "{path}: {said:?}");
    }
    assert_eq!(before, original.picture());

    // Without its configuration, as Debian keeps it.
    std::fs::remove_file(original.data.join("postgresql.conf")).unwrap();
    let said = lab.run(&["import", data, "bare"]);
    assert!(said.err.contains("its postgresql.conf is not in it"), "{said:?}");
}

#[test]
fn a_server_that_does_not_start_says_which_line_of_which_file_and_its_log_is_kept() {
    let test = "a_server_that_does_not_start_says_which_line_of_which_file_and_its_log_is_kept";
    let Some((lab, bin)) = with_programs(test) else { return };
    let original = Stopped::make(&bin, &lab);
    original.bring_wal_in();
    let conf = original.data.join("postgresql.conf");
    let good = std::fs::read_to_string(&conf).unwrap();
    for (number, (line, reason)) in [
        ("no_such_parameter = 1", "unrecognized configuration parameter \"no_such_parameter\""),
        ("max_connections = many", "invalid value for parameter \"max_connections\""),
        ("shared_buffers = 1MB extra", "syntax error in file"),
        ("shared_preload_libraries = 'no_such_library'", "no_such_library"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&conf, format!("{good}\n{line}\n")).unwrap();
        let name = format!("broken-{number}");
        lab.ok(&["import", original.data.to_str().unwrap(), &name]);
        let words = lab.fails(&["postgres", "start", &name], "io");
        assert!(words.contains(reason), "{words}");
        if number < 3 {
            let place = format!("line {}", good.lines().count() + 2);
            assert!(number == 1 || words.contains(&place), "{words}");
            assert!(number == 1 || words.contains("\"postgresql.conf\""), "{words}");
        }
        let log = words.split("its log is kept at ").nth(1).unwrap_or_else(|| panic!("{words}"));
        let log = log.lines().next().unwrap();
        lab.ok(&["list"]);
        assert!(std::fs::read_to_string(log).unwrap().contains(reason), "{log}");
        std::fs::remove_file(log).unwrap();
        let _others_may_be_there = std::fs::remove_dir(std::path::Path::new(log).parent().unwrap());
        lab.ok(&["delete", &name]);
    }
}

#[test]
fn a_fork_has_no_rows_of_unlogged_tables_and_the_prepared_transactions_with_their_locks() {
    let test =
        "a_fork_has_no_rows_of_unlogged_tables_and_the_prepared_transactions_with_their_locks";
    let Some((lab, bin)) = with_programs(test) else { return };
    let outside = Outside::start(bin, &lab);
    lab.ok(&["postgres", "import", &outside.uri(), "main"]);
    drop(outside);
    let start =
        |name: &str| lab.json(&["postgres", "start", name])["uri"].as_str().unwrap().to_owned();
    query(&start("main"), "alter system set max_prepared_transactions = 3");
    lab.ok(&["postgres", "stop", "main"]);
    let main = start("main");
    query(&main, "create unlogged table fleeting as select 1 as n");
    query(&main, "create table kept as select 1 as n");
    query(&main, "begin; update kept set n = 2; prepare transaction 'half done'");
    lab.ok(&["branch", "fork", "--from", "main"]);
    let fork = start("fork");
    assert_eq!(query(&fork, "select count(*) from fleeting"), "0");
    assert_eq!(query(&fork, "select gid from pg_prepared_xacts"), "half done");
    assert_eq!(
        query(&fork, "select count(*) from (select 1 from kept for update skip locked) k"),
        "0"
    );
    query(&fork, "rollback prepared 'half done'");
    assert_eq!(
        query(&fork, "select count(*) from (select 1 from kept for update skip locked) k"),
        "1"
    );
    assert_eq!(query(&main, "select count(*) from fleeting"), "1");
    assert_eq!(query(&main, "select gid from pg_prepared_xacts"), "half done");
    for name in ["fork", "main"] {
        lab.ok(&["postgres", "stop", name]);
    }
}
