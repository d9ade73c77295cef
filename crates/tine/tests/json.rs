//! What each command prints with `--json` is what its schema in `docs/json` says, and nothing else.

mod lab;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use boon::{Compiler, Schemas};
use lab::outside::{Outside, programs};
use lab::{Lab, can_mount, object};
use serde_json::{Value, json};

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json")
}

/// The schema of that name. Programs must expect more fields; here each has to be described.
fn schema(name: &str) -> Value {
    let path = schemas().join(format!("{name}.schema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let mut schema = serde_json::from_str(&text).unwrap();
    forbid_more(&mut schema);
    schema
}

fn forbid_more(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) {
                fields.insert("additionalProperties".into(), false.into());
            }
            fields.values_mut().for_each(forbid_more);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_more),
        _ => {}
    }
}

fn is_valid(schema: Value, output: &Value) -> Result<(), String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("schema.json", schema).unwrap();
    let compiled = compiler.compile("schema.json", &mut schemas).unwrap();
    schemas.validate(output, compiled).map_err(|why| format!("{why:#}"))
}

fn validate(name: &str, output: &Value) {
    if let Err(why) = is_valid(schema(name), output) {
        panic!("{name}: {why} in {output:#}");
    }
}

/// Runs commands and validates what they print; remembers which schemas were met.
struct Contract {
    lab: Lab,
    met: BTreeSet<String>,
}

impl Contract {
    fn on(lab: Lab) -> Self {
        Self { lab, met: BTreeSet::new() }
    }

    fn ok(&mut self, name: &str, arguments: &[&str]) -> Value {
        let output = self.lab.json(arguments);
        validate(name, &output);
        self.met.insert(name.to_owned());
        output
    }

    fn fails(&mut self, arguments: &[&str]) {
        let said = self.lab.run(&[&["--json"], arguments].concat());
        assert_ne!(said.status, 0, "{arguments:?}: {said:?}");
        validate("error", &object(&said.out));
        self.met.insert("error".to_owned());
    }
}

#[test]
fn each_command_prints_what_its_schema_describes() {
    let mut contract = Contract::on(Lab::bare());
    contract.fails(&["list"]);
    contract.ok("init", &["init"]);
    contract.ok("create", &["create", "empty"]);
    let src = contract.lab.make_directory("src");
    fs::write(src.join("file"), "text").unwrap();
    fs::write(src.join(std::ffi::OsStr::from_bytes(b"no\xfftext")), "text").unwrap();
    fs::write(src.join("latin"), b"caf\xe9").unwrap();
    fs::write(src.join("data"), b"\0").unwrap();
    std::os::unix::fs::symlink("/outside", src.join("link")).unwrap();
    contract.ok("import", &["import", &contract.lab.text("src"), "main"]);
    contract.ok("branch", &["branch", "try", "--from", "main", "--count", "2", "--ttl", "2h"]);
    contract.ok("snapshot", &["snapshot", "main", "sealed"]);
    contract.ok("ls", &["ls", "main"]);
    contract.ok("list", &["list"]);
    contract.ok("usage", &["usage"]);
    contract.ok("usage-branch", &["usage", "main"]);
    contract.ok("status", &["status"]);
    contract.ok("status-branch", &["status", "try-1"]);
    contract.ok("rename", &["rename", "try-1", "tried"]);
    contract.ok("diff", &["diff", "empty", "main"]);
    contract.ok("diff", &["diff", "empty", "main", "--stat"]);
    contract.ok("diff", &["diff", "empty", "main", "--patch"]);
    contract.ok("diff", &["diff", "empty", "main", "--name-only"]);
    contract.ok("reset", &["reset", "tried"]);
    contract.ok("log", &["log", "tried"]);
    contract.ok("undo", &["undo", "tried"]);
    contract.ok("undo", &["undo", "tried", "--redo"]);
    contract.ok("delete", &["delete", "tried", "try-2"]);
    contract.ok("log", &["log", "tried"]);
    contract.ok("undo", &["undo", "tried"]);
    contract.ok("delete", &["delete", "tried", "--now"]);
    contract.ok("refresh", &["refresh", "main"]);
    contract.ok("export", &["export", "main", &contract.lab.text("out")]);
    contract.ok("check", &["check"]);
    contract.ok("check-repair", &["check", "--repair-to", &contract.lab.text("repaired.tine")]);
    contract.ok("postgres-list", &["postgres", "list"]);
    for wrong in [
        &["usage", "gone"][..],
        &["branch", "a//b"],
        &["branch"],
        &["nonsense"],
        &["postgres", "stop", "main"],
        &["import", "/dev/null", "x"],
    ] {
        contract.fails(wrong);
    }

    let test = "each_command_prints_what_its_schema_describes";
    let mut unmet = vec!["mount", "unmount", "postgres-import", "postgres-start", "postgres-stop"];
    if can_mount(test) {
        let mounted = contract.lab.make_directory("mounted").to_str().unwrap().to_owned();
        contract.ok("mount", &["mount", "main", &mounted]);
        contract.ok("status", &["status"]);
        contract.ok("status-branch", &["status", "main"]);
        contract.ok("list", &["list"]);
        contract.ok("unmount", &["unmount", "main"]);
        unmet.drain(..2);
        if let Some(programs) = programs() {
            let outside = Outside::start(programs, &contract.lab);
            contract.ok("postgres-import", &["postgres", "import", &outside.uri(), "shop"]);
            contract.ok("postgres-start", &["postgres", "start", "shop"]);
            contract.ok("postgres-list", &["postgres", "list"]);
            contract.ok("status", &["status"]);
            contract.ok("status-branch", &["status", "shop"]);
            contract.ok("postgres-stop", &["postgres", "stop", "shop"]);
            unmet.clear();
        } else {
            println!("skipped: {test}: the database's part: no PostgreSQL server is installed");
        }
    }
    for schema in fs::read_dir(schemas()).unwrap() {
        let name = schema.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".schema.json").unwrap_or(&name);
        assert!(contract.met.contains(name) || unmet.contains(&name), "no command met {name}");
    }
}

#[test]
fn a_schema_refuses_what_it_does_not_describe() {
    let schema = schema("delete");
    let is_valid = |output: Value| is_valid(schema.clone(), &output).is_ok();
    let deleted = json!({ "version": 1, "deleted": ["a"], "kept_until": null, "not_kept": [] });
    let with = |field: &str, value: Value| {
        let mut object = deleted.clone();
        object[field] = value;
        object
    };
    assert!(is_valid(deleted.clone()));
    assert!(!is_valid(with("version", 2.into())));
    assert!(!is_valid(json!({ "version": 1 })));
    assert!(!is_valid(with("more", 1.into())));
}
