//! The program `creel-keeper`: keeper, init of the sandbox, spawner and probe, chosen by its first argument.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let _own_name = words.next();
    match words.next().as_ref().and_then(|word| word.to_str()) {
        Some("keeper") => creel_keeper::keeper::main(words),
        Some("init") => creel_keeper::init::main(words),
        Some("spawner") => creel_keeper::spawner::main(),
        Some("probe") => creel_keeper::probe::main(words),
        Some("--version") => creel_keeper::print_version(),
        _ => creel_keeper::print_usage(),
    }
}
