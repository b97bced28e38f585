//! What the program prints. A reader that goes away (`creel get agents | head -1`) ends the program quietly,
//! because Rust programs are not told by SIGPIPE and would report a broken pipe instead.

use std::io::{self, IsTerminal, Write};

/// Prints a line on stdout.
pub(crate) fn line(text: impl AsRef<str>) {
    write(text.as_ref().as_bytes());
    write(b"\n");
}

/// Prints bytes on stdout, at once.
pub(crate) fn write(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a line on stderr: progress and remarks, so that stdout stays clean for pipes.
pub(crate) fn note(text: impl AsRef<str>) {
    // There is nobody left to tell if stderr is gone.
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Prints a question on stderr without ending the line.
pub(crate) fn ask(text: &str) {
    let _ = write!(io::stderr().lock(), "{text} ").and_then(|()| io::stderr().flush());
}

/// Whether a person sits at both ends.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// One line that was typed; `None` at the end of the input.
pub(crate) fn typed() -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = io::stdin().read_line(&mut text)?;
    Ok((read > 0).then(|| text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Whether a person agrees. Without a person at the keyboard nobody does.
pub(crate) fn agrees(question: &str) -> bool {
    if !is_interactive() {
        return false;
    }
    ask(&format!("{question} [y/N]"));
    matches!(typed(), Ok(Some(answer)) if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}
