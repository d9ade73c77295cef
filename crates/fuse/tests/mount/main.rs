//! Behaviour of a mounted branch, seen by programs through the kernel.
//!
//! Mounting asks for rights that the threads of an ordinary test program cannot get, so this one
//! runs its tests itself: it first moves into a mount namespace of its own (as an ordinary user,
//! into a user namespace too), where no mount can outlive it. Its output is that of any test
//! program; what the machine does not allow is listed as ignored, with the reason.

#![forbid(unsafe_code)]

mod branch;
mod direct;
mod files;
mod flushes;
mod handles;
mod init;
mod lifetime;
mod programs;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// What a test came to, if it did not panic.
enum Verdict {
    Held,
    /// It could not be run here, and why.
    NotRun(String),
}

type Test = (&'static str, fn() -> Verdict);

/// Lists the named functions of a module with their names.
macro_rules! tests {
    ($module:ident: $($name:ident)*) => {
        &[$((stringify!($name), || crate::Finish::finish(crate::$module::$name()))),*]
    };
}
pub(crate) use tests;

/// Tests return nothing, or say why they were not run.
trait Finish {
    fn finish(self) -> Verdict;
}

impl Finish for () {
    fn finish(self) -> Verdict {
        Verdict::Held
    }
}

impl Finish for Result<(), String> {
    fn finish(self) -> Verdict {
        self.map_or_else(Verdict::NotRun, |()| Verdict::Held)
    }
}

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let soak = std::env::args().any(|argument| argument == "--ignored");
    let daily = [
        direct::TESTS,
        files::TESTS,
        flushes::TESTS,
        handles::TESTS,
        init::TESTS,
        lifetime::TESTS,
        programs::TESTS,
    ]
    .concat();
    let chosen: Vec<Test> = if soak { programs::SOAK.to_vec() } else { daily }
        .into_iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)))
        .collect();
    if std::env::args().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let obstacle = branch::obstacle();
    let (mut held, mut failed, mut not_run) = (0, 0, 0);
    if !soak {
        for (name, _) in programs::SOAK {
            not_run += 1;
            println!("test {name} ... ignored, soak: takes an hour");
        }
    }
    for (name, test) in chosen {
        let verdict = match &obstacle {
            Some(why) => Ok(Verdict::NotRun(why.clone())),
            None => catch_unwind(AssertUnwindSafe(test)),
        };
        let (word, count) = match verdict {
            Ok(Verdict::Held) => ("ok".to_owned(), &mut held),
            Ok(Verdict::NotRun(why)) => (format!("ignored, {why}"), &mut not_run),
            Err(_) => ("FAILED".to_owned(), &mut failed),
        };
        *count += 1;
        println!("test {name} ... {word}");
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {held} passed; {failed} failed; {not_run} ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
