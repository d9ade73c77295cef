//! The project's files speak of the project alone: no paths of one machine, no numbers of a
//! tracker.

use super::source::Source;

/// Where this checkout lies: a path that means something on one machine only.
const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");

/// One finding a line with a foreign word.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(word) = foreign_word(line) {
                findings.push(format!(
                    "{}:{}: says `{word}`, which means nothing outside one machine",
                    source.path.display(),
                    number + 1
                ));
            }
        }
    }
    findings
}

fn foreign_word(line: &str) -> Option<String> {
    let checkout = CHECKOUT.trim_end_matches("/xtask");
    if line.contains(checkout) {
        return Some(checkout.to_owned());
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).find(|pair| is_tracker_number(pair)).map(|pair| pair.join(" "))
}

fn is_tracker_number(pair: &[&str]) -> bool {
    let word = pair[0].trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let number = pair[1].trim_matches(|c: char| !c.is_alphanumeric());
    word == "issue" && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_machine_and_numbers_of_a_tracker_are_foreign() {
        assert!(foreign_word(concat!("see ", env!("CARGO_MANIFEST_DIR"))).is_some());
        assert!(foreign_word(concat!("as (issue ", "12) asks")).is_some());
        assert!(foreign_word("the issue is 12 bytes long").is_none());
    }
}
