//! The one binary: picks the role, prints one problem, sets the exit code.

fn main() -> std::process::ExitCode {
    // Hidden roles stay single-threaded and small, so they are told apart before anything else runs.
    let mut words = std::env::args_os().skip(1);
    let first = words.next();
    match first.as_ref().and_then(|word| word.to_str()) {
        Some("probe") => {
            let (what, place) = (words.next(), words.next());
            let what = what.as_ref().and_then(|word| word.to_str());
            runtime::sandbox::probe::role(what, place.as_deref().map(std::path::Path::new))
        }
        Some(runtime::launch::KEEPER) => runtime::launch::keeper(),
        _ => supervisor::cli::main(),
    }
}
