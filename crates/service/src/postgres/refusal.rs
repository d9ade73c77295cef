//! What a client program said when a server did not let it in, as an error that a person can act
//! on.

use crate::protocol::{Code, Error};

/// Words of servers and of libpq, what kind of refusal they are, and what to do; the first that
/// fits counts. `ROLE` stands for the role.
const RULES: [(&[&str], Code, &str); 12] = [
    (&["No space left on device"], Code::NoSpace, "free space on the disk of the store"),
    (
        &["replication slots are in use", "max_replication_slots"],
        Code::Unsupported,
        "drop a replication slot there that is not needed (`pg_drop_replication_slot`), or raise max_replication_slots",
    ),
    (&["wal_level", "WAL level"], Code::Unsupported, WAL_LEVEL),
    (&["max_wal_senders"], Code::Unsupported, SENDERS),
    (
        &["entry for replication connection", "rejects replication connection"],
        Code::NotPermitted,
        "let the role in for replication: a line `host replication ROLE ADDRESS scram-sha-256` in its pg_hba.conf, then reload it",
    ),
    (
        &["replication role", "start walsender", "start WAL sender"],
        Code::NotPermitted,
        "let the role replicate: `ALTER ROLE ROLE REPLICATION`",
    ),
    (
        &["too many clients", "too many connections", "connection slots are reserved"],
        Code::Io,
        "wait until others have left the server, or raise max_connections",
    ),
    (
        &["private key file"],
        Code::NotPermitted,
        "`chmod 600` closes a key to others; sslkey names another one",
    ),
    (
        &["root certificate", "certificate verify failed", "does not match host name"],
        Code::NotPermitted,
        "the server's certificate is checked against sslrootcert, else ~/.postgresql/root.crt, as sslmode says",
    ),
    (
        &["client certificate", "certificate authentication failed", "certificate file"],
        Code::NotPermitted,
        "name the role's certificate with sslcert and sslkey, or keep it in ~/.postgresql",
    ),
    (
        &[
            "authentication failed",
            "no password supplied",
            "no pg_hba.conf entry",
            "pg_hba.conf rejects",
            "role \"",
        ],
        Code::NotPermitted,
        "give role and password in the URI, in PGPASSWORD or in ~/.pgpass",
    ),
    (
        &["in service file"],
        Code::Usage,
        "leave out the parameter, which these programs do not know",
    ),
];

const WAL_LEVEL: &str = "set wal_level = replica (or logical) there, and restart the server";
const SENDERS: &str = "the copy needs two senders to spare: raise max_wal_senders there, or end one that is not needed";

/// The error of a program that failed; `role` is known once the server has answered.
pub(super) fn refusal(said: &str, role: Option<&str>, notes: &[String]) -> Error {
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tells =
        |line: &&&str| ["error:", "failed: ", "FATAL:"].iter().any(|mark| line.contains(mark));
    let telling: Vec<&str> = lines.iter().filter(tells).take(4).copied().collect();
    let reason = match (telling.is_empty(), lines.first()) {
        (false, _) => telling.join("; "),
        (true, Some(first)) => (*first).to_owned(),
        (true, None) => "it gave no reason".to_owned(),
    };
    let rule = RULES.iter().find(|(marks, ..)| marks.iter().any(|mark| said.contains(mark)));
    let (code, hint) = rule.map_or(
        (Code::Io, "see whether `psql` reaches the server with the same URI"),
        |(_, code, hint)| (*code, hint),
    );
    let mut hint = hint.replacen("ROLE ADDRESS", "\u{1} ADDRESS", 1);
    hint = hint.replace("ROLE ROLE", "ROLE \u{1}").replace('\u{1}', role.unwrap_or("ROLE"));
    for note in notes {
        hint.push_str("; ");
        hint.push_str(note);
    }
    taken(code, &reason).hint(hint)
}

/// What the role lacks.
pub(super) fn may_not_replicate(role: &str) -> Error {
    let quoted = role.replace('"', "\"\"");
    taken(Code::NotPermitted, &format!("role {role} may not replicate"))
        .hint(format!("let it: `ALTER ROLE \"{quoted}\" REPLICATION`"))
}

/// What the server's settings lack.
pub(super) fn too_little_wal(level: &str) -> Error {
    taken(Code::Unsupported, &format!("its wal_level is {level}")).hint(WAL_LEVEL)
}

/// Others replicate already.
pub(super) fn too_few_senders(free: i64, all: &str) -> Error {
    let reason = format!("of its max_wal_senders = {all} only {} is free", free.max(0));
    taken(Code::Unsupported, &reason).hint(SENDERS)
}

fn taken(code: Code, reason: &str) -> Error {
    Error::new(code, format!("the server's data could not be taken in: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_leads_to_what_is_lacking() {
        let known = [
            (
                "pg_basebackup: error: could not send replication command \"CREATE_REPLICATION_SLOT \"pg_basebackup_7\" TEMPORARY PHYSICAL ( RESERVE_WAL)\": ERROR:  all replication slots are in use\nHINT:  Free one or increase max_replication_slots.",
                Code::Unsupported,
                "pg_drop_replication_slot",
            ),
            (
                "FATAL:  number of requested standby connections exceeds max_wal_senders (currently 1)",
                Code::Unsupported,
                "two senders",
            ),
            (
                "ERROR:  WAL level not sufficient for making an online backup",
                Code::Unsupported,
                "wal_level",
            ),
            (
                "FATAL:  no pg_hba.conf entry for replication connection from host \"::1\", user \"r\", no encryption",
                Code::NotPermitted,
                "`host replication r ADDRESS",
            ),
            (
                "FATAL:  pg_hba.conf rejects replication connection for host",
                Code::NotPermitted,
                "pg_hba.conf",
            ),
            (
                "FATAL:  must be superuser or replication role to start walsender",
                Code::NotPermitted,
                "`ALTER ROLE r REPLICATION`",
            ),
            ("FATAL:  permission denied to start WAL sender", Code::NotPermitted, "ALTER ROLE r"),
            ("FATAL:  no pg_hba.conf entry for host \"h\"", Code::NotPermitted, "PGPASSWORD"),
            ("psql: error: password authentication failed", Code::NotPermitted, "PGPASSWORD"),
            ("FATAL:  role \"x\" does not exist", Code::NotPermitted, "role and password"),
            ("FATAL:  sorry, too many clients already", Code::Io, "max_connections"),
            ("failed: SSL error: certificate verify failed", Code::NotPermitted, "sslrootcert"),
            ("psql: error: Connection refused", Code::Io, "psql"),
            ("", Code::Io, "psql"),
        ];
        for (said, code, hint) in known {
            let error = refusal(said, Some("r"), &[]);
            assert_eq!(error.code, code, "{said}");
            assert!(error.hint_text().contains(hint), "{said}: {error:?}");
        }
        let noted = refusal("no password supplied", None, &["/x was not used".into()]);
        assert!(noted.hint_text().ends_with("; /x was not used"));
    }
}
