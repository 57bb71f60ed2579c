//! What may follow on a command line: the answer to the shells' question, from the same tables.

use super::Command;
use super::shared::GLOBAL;

/// Words that may stand where the last of `line` stands: commands and flags.
pub fn words(root: &'static Command, line: &[String]) -> Vec<String> {
    let (current, before) = match line.split_last() {
        Some((current, before)) => (current.as_str(), before),
        None => ("", &[][..]),
    };
    let mut command = root;
    for word in before.iter().filter(|word| !word.starts_with('-')) {
        if let Some(inner) = command.command(word) {
            command = inner;
        }
    }
    let mut words: Vec<String> = if current.starts_with('-') {
        let own = command.own_flags().into_iter().chain(GLOBAL).filter(|flag| !flag.hidden);
        own.map(|flag| format!("--{}\t{}", flag.long, flag.about)).collect()
    } else {
        command.commands.iter().map(|inner| format!("{}\t{}", inner.name, inner.about)).collect()
    };
    words.retain(|word| word.starts_with(current));
    words.sort();
    words
}
