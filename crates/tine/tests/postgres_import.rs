//! Taking a server in: the connection is the caller's, as with `psql`, and its secrets stay secret.

mod lab;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use lab::outside::{free_port, query};
use lab::secure::{APP_PASSWORD, PLAIN_PASSWORD, Person, Secure};
use lab::{Lab, can_mount, can_run, is_root};

/// Percent-encodes everything.
fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A line of a password file.
fn line(host: &str, port: u16, database: &str, role: &str, password: &str) -> String {
    let password = password.replace('\\', "\\\\").replace(':', "\\:");
    format!("{host}:{port}:{database}:{role}:{password}\n")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// What `psql` of the person does with a URI, and what an import does. `plain` may not replicate,
/// so that the import ends after its first question: by then the connection has been made.
fn compare(secure: &Secure, lab: &Lab, person: &Person, uri: &str) -> bool {
    let mut psql = Command::new(secure.program("psql"));
    psql.args(["-XAtqw", "-c", "select 1", "-d", uri]);
    let (expected, theirs) = secure.let_in_during(|| person.runs(psql));
    let import = lab.command(&["postgres", "import", uri, "x"]);
    let (found, ours) = secure.let_in_during(|| person.runs(import));
    assert_eq!(expected.first(), found.first(), "{uri}\npsql: {theirs:?}\ntine: {ours:?}");
    assert!(matches!(ours.status, 1 | 2), "{uri}: {ours:?}");
    for secret in [PLAIN_PASSWORD, APP_PASSWORD] {
        assert!(!ours.err.contains(secret), "{uri}: {ours:?}");
    }
    assert!(!ours.err.contains("/proc/self/fd"), "{uri}: {ours:?}");
    let refused = ours.err.contains("may not replicate");
    assert_eq!(refused, theirs.status == 0, "{uri}\npsql: {theirs:?}\ntine: {ours:?}");
    theirs.status == 0
}

#[test]
fn a_connection_is_as_secure_as_the_callers_own() {
    let test = "a_connection_is_as_secure_as_the_callers_own";
    let lab = Lab::new();
    let Some(secure) = Secure::start(test, &lab) else { return };
    let port = secure.port;
    let user = format!("plain:{}", encode(PLAIN_PASSWORD));
    let uri = |rest: &str| format!("postgresql://{user}@127.0.0.1:{port}/shop{rest}");
    let at_home = |name: &str| Person::new(&lab, name);

    let nothing = at_home("nothing");
    for mode in ["disable", "allow", "prefer", "require"] {
        assert!(compare(&secure, &lab, &nothing, &uri(&format!("?sslmode={mode}"))), "{mode}");
        let set = at_home("set").with("PGSSLMODE", mode);
        assert!(compare(&secure, &lab, &set, &uri("")), "PGSSLMODE={mode}");
    }
    assert!(compare(&secure, &lab, &nothing, &uri("?ssl=true")));
    for (mode, trusted) in [("verify-ca", true), ("verify-full", false)] {
        let ask = |more: &str| uri(&format!("?sslmode={mode}{more}"));
        assert!(!compare(&secure, &lab, &nothing, &ask("")), "{mode} without an authority");
        // The certificate is for `localhost`, and the address has no name in it.
        let with_file = ask("&sslrootcert=ca.crt");
        assert_eq!(compare(&secure, &lab, &nothing, &with_file), trusted, "{mode}");
        let kept = at_home("kept").copy("ca.crt", ".postgresql/root.crt");
        assert_eq!(compare(&secure, &lab, &kept, &ask("")), trusted, "{mode}");
        assert!(!compare(&secure, &lab, &kept, &ask("&sslrootcert=other.crt")), "{mode}");
    }
    let named = format!(
        "host=localhost hostaddr=127.0.0.1 port={port} dbname=shop user=plain password={} \
         sslmode = verify-full sslrootcert='ca.crt'",
        quoted(PLAIN_PASSWORD)
    );
    assert!(compare(&secure, &lab, &nothing, &named));
    let set = at_home("set").with("PGSSLROOTCERT", "ca.crt").with("PGSSLMODE", "verify-ca");
    assert!(compare(&secure, &lab, &set, &uri("")));
    // `require` looks at an authority that is kept, for compatibility.
    let other = at_home("other").copy("other.crt", ".postgresql/root.crt");
    assert!(!compare(&secure, &lab, &other, &uri("?sslmode=require")));
}

#[test]
fn a_client_certificate_of_the_caller_is_shown() {
    let lab = Lab::new();
    let Some(secure) = Secure::start("a_client_certificate_of_the_caller_is_shown", &lab) else {
        return;
    };
    let uri = |rest: &str| format!("postgresql://certified@127.0.0.1:{}/shop{rest}", secure.port);
    let nothing = Person::new(&lab, "nothing");
    assert!(!compare(&secure, &lab, &nothing, &uri("")));
    assert!(compare(&secure, &lab, &nothing, &uri("?sslcert=client.crt&sslkey=client.key")));
    let locked = "?sslcert=client.crt&sslkey=locked.key&sslpassword=the%20key";
    assert!(compare(&secure, &lab, &nothing, &uri(locked)));
    let set =
        Person::new(&lab, "set").with("PGSSLCERT", "client.crt").with("PGSSLKEY", "client.key");
    assert!(compare(&secure, &lab, &set, &uri("?sslmode=require")));
    let kept = |name: &str| {
        Person::new(&lab, name)
            .copy("client.crt", ".postgresql/postgresql.crt")
            .copy("client.key", ".postgresql/postgresql.key")
    };
    assert!(compare(&secure, &lab, &kept("kept"), &uri("")));
    // A key that others may read is refused, not used.
    let open = kept("open");
    let key = open.home.join(".postgresql/postgresql.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!compare(&secure, &lab, &open, &uri("")));
    let import = lab.command(&["postgres", "import", &uri("?sslmode=require"), "x"]);
    let said = open.runs(import);
    assert!(said.err.contains(key.to_str().unwrap()), "{said:?}");
}

#[test]
fn passwords_come_from_wherever_psql_takes_them() {
    let lab = Lab::new();
    let Some(secure) = Secure::start("passwords_come_from_wherever_psql_takes_them", &lab) else {
        return;
    };
    let port = secure.port;
    let uri = |rest: &str| format!("postgresql://plain@127.0.0.1:{port}/shop{rest}");
    let right = line("127.0.0.1", port, "shop", "plain", PLAIN_PASSWORD);
    let person = |name: &str| Person::new(&lab, name);
    let check = |who: Person, uri: &str| compare(&secure, &lab, &who, uri);

    assert!(!check(person("a"), &uri("")));
    assert!(check(person("b").with("PGPASSWORD", PLAIN_PASSWORD), &uri("")));
    assert!(check(
        person("c").file(".pgpass", "# a note\n*:*:*:other:x\n".to_owned() + &right),
        &uri("")
    ));
    assert!(check(
        person("d").file("words", &right).with("PGPASSFILE", "../home-d/words"),
        &uri("")
    ));
    let named = format!("?passfile={}", encode("../home-e/words"));
    assert!(check(person("e").file("words", &right), &uri(&named)));
    // Others may read it: not used. The first line that fits counts. A password that is given wins.
    assert!(!check(person("f").file_of_mode(".pgpass", &right, 0o644), &uri("")));
    let first = "*:*:*:plain:wrong\n".to_owned() + &right;
    assert!(!check(person("g").file(".pgpass", first), &uri("")));
    assert!(!check(person("h").file(".pgpass", &right).with("PGPASSWORD", "wrong"), &uri("")));
    let given = format!("{}?password={}", uri(""), encode(PLAIN_PASSWORD));
    assert!(check(person("i").with("PGPASSWORD", "wrong"), &given));
    let empty = format!("host=127.0.0.1 port={port} user=plain dbname=shop password=''");
    assert!(check(person("j").file(".pgpass", &right).with("PGPASSWORD", "wrong"), &empty));
    // Several hosts, each with its own line; nothing listens at the first.
    let closed = free_port();
    let two = format!("postgresql://plain@127.0.0.1:{closed},127.0.0.1:{port}/shop");
    let lines = line("127.0.0.1", closed, "*", "plain", "wrong") + &right;
    assert!(check(person("k").file(".pgpass", lines), &two));
}

#[test]
fn settings_come_from_the_callers_environment_and_services() {
    let lab = Lab::new();
    let test = "settings_come_from_the_callers_environment_and_services";
    let Some(secure) = Secure::start(test, &lab) else { return };
    let (port, socket) = (secure.port, secure.socket().to_str().unwrap());
    let person = |name: &str| Person::new(&lab, name);
    let check = |who: Person, uri: &str| compare(&secure, &lab, &who, uri);
    let set = |name: &str| {
        person(name)
            .with("PGHOST", "127.0.0.1")
            .with("PGPORT", &port.to_string())
            .with("PGUSER", "plain")
            .with("PGPASSWORD", PLAIN_PASSWORD)
    };
    assert!(check(set("a").with("PGDATABASE", "shop"), "postgresql://"));
    assert!(check(set("b").with("PGAPPNAME", "mine"), "dbname=shop"));
    assert!(check(set("c"), "shop"));
    assert!(!check(set("d").with("PGPORT", &free_port().to_string()), "shop"));
    assert!(check(
        set("e").with("PGHOST", "nowhere.invalid").with("PGHOSTADDR", "127.0.0.1"),
        "shop"
    ));
    assert!(!check(set("f").with("PGOPTIONS", "-c no_such_setting=1"), "shop"));
    assert!(check(person("g"), &format!("host={socket} port={port} user=plain dbname=shop")));
    let through_socket = format!("postgres://plain@/shop?host={}&port={port}", encode(socket));
    assert!(check(person("h").with("PGSSLMODE", "verify-full"), &through_socket));
    // No user given: over TCP, and through a socket where that works, it is the caller.
    if is_root() {
        assert!(check(person("i"), &format!("postgresql://127.0.0.1:{port}/shop")));
        assert!(check(person("i"), &format!("postgresql:///shop?host={socket}&port={port}")));
    }

    let services = format!(
        "[other]\nhost=nowhere.invalid\n\n# a note\n [mine]\nhost=127.0.0.1\nport={port}\nuser=plain\n\
         dbname=shop\npassword={PLAIN_PASSWORD}\nsslmode=verify-ca\nsslrootcert=ca.crt\n[last]\nhost=x\n"
    );
    let kept = |name: &str| person(name).file(".pg_service.conf", &services);
    assert!(check(kept("j"), "service=mine"));
    assert!(check(kept("k").with("PGSERVICE", "mine"), "postgresql://"));
    assert!(check(kept("l"), "postgresql://?service=mine&sslmode=disable"));
    assert!(check(kept("m").with("PGSSLMODE", "disable").with("PGUSER", "nobody"), "service=mine"));
    assert!(!check(kept("n"), "service=missing"));
    assert!(!check(person("o"), "service=mine"));
    let elsewhere = person("p").file("services", &services);
    assert!(check(elsewhere.with("PGSERVICEFILE", "../home-p/services"), "service=mine"));
    assert!(!check(person("q").with("PGSERVICEFILE", "nowhere"), "service=mine"));
    let system = person("r").file("system/pg_service.conf", &services);
    assert!(check(system.with("PGSYSCONFDIR", "../home-r/system"), "service=mine"));
    // A name in a list that is not needed any more: all programs go where the first one arrived.
    let several = format!(
        "host=nowhere.invalid,{socket},127.0.0.1 port=1,{port},{port} user=plain dbname=shop"
    );
    assert!(check(person("t"), &several));
    // What psql cannot read is not read here either.
    for wrong in [
        "host='127.0.0.1",
        "postgresql://[::1/x",
        "host 127.0.0.1 x=y",
        "pasword=x host=y",
        "postgresql://h/db?pasword=x",
        "postgresql://h/db?a",
        "postgresql://h/%zz",
        "port=x host=127.0.0.1",
    ] {
        assert!(!check(person("s"), wrong), "{wrong}");
    }
}

#[test]
fn root_comes_in_as_the_servers_own_user_where_only_that_is_let_in() {
    let test = "root_comes_in_as_the_servers_own_user_where_only_that_is_let_in";
    if !is_root() {
        println!("skipped: {test}: only root's programs run as another user");
        return;
    }
    let lab = Lab::new();
    let Some(secure) = Secure::start(test, &lab) else { return };
    secure.rules("local all all peer\nlocal replication all peer\n");
    let socket = secure.socket().to_str().unwrap();
    let uri = format!("postgresql:///postgres?host={}&port={}", encode(socket), secure.port);
    lab.ok(&["postgres", "import", &uri, "main"]);
    // A name that is given is not replaced by another.
    let said = lab.fails(&["postgres", "import", &format!("{uri}&user=app"), "x"], "not-permitted");
    assert!(said.contains("app"), "{said}");
}

/// Programs of the server that keep a note of how they were called, in front of the real ones.
struct Noted {
    bin: PathBuf,
    notes: PathBuf,
}

impl Noted {
    fn new(lab: &Lab, secure: &Secure) -> Noted {
        let (bin, notes) = (lab.make_directory("bin"), lab.make_directory("notes"));
        fs::set_permissions(&notes, fs::Permissions::from_mode(0o1777)).unwrap();
        for name in ["psql", "pg_basebackup", "postgres"] {
            let script = format!(
                "#!/bin/sh\nenv -0 >{notes}/$$-{name}.env\nprintf '%s\\0' \"$@\" >{notes}/$$-{name}.args\n\
                 cat /proc/$PPID/cmdline >{notes}/$$-{name}.parent\n\
                 exec {real} \"$@\"\n",
                notes = notes.display(),
                real = secure.program(name).display()
            );
            fs::write(bin.join(name), script).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Noted { bin, notes }
    }

    fn path(&self) -> String {
        format!("{}:{}", self.bin.display(), std::env::var("PATH").unwrap())
    }

    /// The notes of one kind, by program.
    fn all(&self, kind: &str) -> Vec<(String, String)> {
        let files = fs::read_dir(&self.notes).unwrap().map(|entry| entry.unwrap().path());
        let of_kind = files.filter(|path| path.extension().is_some_and(|found| found == kind));
        let read = |path: PathBuf| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned())
        };
        of_kind.map(read).collect()
    }
}

/// Names that a child of tine may find in its environment, whatever the caller's holds.
fn is_clean(entry: &str) -> bool {
    let name = entry.split('=').next().unwrap();
    name.starts_with("LC_")
        || ["", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"].contains(&name)
        // Made by the shell of the note.
        || ["PWD", "OLDPWD", "SHLVL", "_"].contains(&name)
}

#[test]
fn children_get_a_clean_environment_and_no_secret_on_any_command_line() {
    let test = "children_get_a_clean_environment_and_no_secret_on_any_command_line";
    if !can_run(test) {
        return;
    }
    let lab = Lab::new();
    let Some(secure) = Secure::start(test, &lab) else { return };
    let noted = Noted::new(&lab, &secure);
    let port = secure.port;
    let person = Person::new(&lab, "person")
        .with("PATH", &noted.path())
        .with("SECRET_TOKEN", "do not tell")
        .with("LD_LIBRARY_PATH", "/nowhere")
        .with("PGDATA", "/nowhere")
        .with("PSQLRC", "/nowhere")
        .with("LC_ALL", "C.UTF-8");
    let encoded = encode(APP_PASSWORD);
    let forms = [
        format!("postgresql://app:{encoded}@127.0.0.1:{port}/shop?sslmode=require"),
        format!("postgresql://app@127.0.0.1:{port}/shop?password={encoded}&sslpassword=hidden"),
        format!(
            "host=127.0.0.1 port={port} user=app password={} dbname=shop",
            quoted(APP_PASSWORD)
        ),
    ];
    for (number, form) in forms.iter().enumerate() {
        let name = format!("taken-{number}");
        let import = lab.command(&["postgres", "import", form, &name]);
        let (let_in, said) = secure.let_in_during(|| person.runs(import));
        assert_eq!(said.status, 0, "{form}: {said:?}");
        assert!(let_in.len() >= 3, "{let_in:?}");
        assert!(let_in.iter().all(|line| line.contains("SSL enabled")), "{let_in:?}");
        assert!(lab.names().contains(&name));
    }
    let secrets = [APP_PASSWORD.to_owned(), encoded, quoted(APP_PASSWORD), "hidden".to_owned()];
    for kind in ["args", "parent", "env"] {
        let notes = noted.all(kind);
        assert!(notes.iter().any(|(program, _)| program.ends_with("pg_basebackup")), "{kind}");
        for (program, text) in notes {
            let told = secrets.iter().any(|secret| text.contains(secret));
            assert!(!told || kind == "env", "{kind} of {program}: {text:?}");
            if kind == "env" {
                let connects =
                    |entry: &str| entry.starts_with("PG") || entry.starts_with("KRB5CCNAME=");
                let foreign = |entry: &&str| !is_clean(entry) && !connects(entry);
                let found: Vec<&str> = text.split('\0').filter(foreign).collect();
                assert!(found.is_empty(), "{program}: {found:?}");
            }
        }
    }
    fs::remove_dir_all(&noted.notes).unwrap();
    fs::create_dir(&noted.notes).unwrap();
    fs::set_permissions(&noted.notes, fs::Permissions::from_mode(0o1777)).unwrap();

    // The server, and the process that holds the store.
    if !can_mount(test) {
        return;
    }
    let start = person.runs(lab.command(&["--json", "postgres", "start", "taken-0"]));
    assert_eq!(start.status, 0, "{start:?}");
    let row = lab::object(&start.out);
    let uri = row["uri"].as_str().unwrap();
    assert_eq!(query(uri, "select current_database()"), "shop", "the database that was imported");
    let server = u32::try_from(row["pid"].as_u64().unwrap()).unwrap();
    for pid in [server, lab.holder().unwrap()] {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let text = String::from_utf8_lossy(&environment);
        let allowed = |entry: &str| {
            is_clean(entry)
                || pid != server && (entry.starts_with("TINE_") || entry.starts_with("XDG_"))
        };
        let found: Vec<&str> = text.split('\0').filter(|entry| !allowed(entry)).collect();
        assert!(found.is_empty(), "process {pid}: {found:?}");
        if pid == server && is_root() {
            let home = text.split('\0').find_map(|entry| entry.strip_prefix("HOME="));
            assert_eq!(home, Some("/var/lib/postgresql"), "{text:?}");
            assert!(!text.contains(noted.bin.to_str().unwrap()), "root's PATH: {text:?}");
        }
    }
    for (program, text) in noted.all("env") {
        let found: Vec<&str> = text.split('\0').filter(|entry| !is_clean(entry)).collect();
        assert!(found.is_empty(), "{program}: {found:?}");
    }
    lab.ok(&["postgres", "stop", "taken-0"]);
}

#[test]
fn a_refusal_names_what_the_server_lacks() {
    let test = "a_refusal_names_what_the_server_lacks";
    if !can_run(test) {
        return;
    }
    let lab = Lab::new();
    let Some(secure) = Secure::start(test, &lab) else { return };
    let uri = format!("postgresql://app:{}@127.0.0.1:{}/shop", encode(APP_PASSWORD), secure.port);
    let refused = |code: &str, words: &[&str]| {
        let said = lab.fails(&["postgres", "import", &uri, "x"], code);
        for word in words {
            assert!(said.contains(word), "{word} is not in: {said}");
        }
        said
    };
    secure.restart_with("-c max_wal_senders=1");
    let said = refused("unsupported", &["max_wal_senders"]);
    assert!(!said.contains("ALTER ROLE"), "{said}");
    secure.restart_with("-c wal_level=minimal -c max_wal_senders=0");
    let said = refused("unsupported", &["wal_level"]);
    assert!(!said.contains("ALTER ROLE"), "{said}");
    secure.rules("host replication all 127.0.0.1/32 reject\n");
    let said = refused("not-permitted", &["pg_hba.conf", "host replication app"]);
    assert!(!said.contains("ALTER ROLE"), "{said}");
    secure.rules("");
    secure.sql("alter role app nosuperuser");
    let said = refused("not-permitted", &["app", "may not replicate", "ALTER ROLE"]);
    assert!(!said.contains("pg_hba.conf"), "{said}");
    secure.sql("alter role app superuser");

    // A copy does not depend on a slot.
    secure.restart_with("-c max_replication_slots=1");
    secure.sql("select pg_create_physical_replication_slot('taken', true)");
    lab.ok(&["postgres", "import", &uri, "without-a-slot"]);
    assert_eq!(lab.names(), ["without-a-slot"]);
}
