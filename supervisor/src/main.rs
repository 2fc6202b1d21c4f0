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
        Some(supervisor::vetting::WORKER) => supervisor::vetting::worker(words),
        Some(supervisor::app::SUCCESSOR) => supervisor::app::successor(words),
        Some(runtime::launch::HOLDER) => runtime::launch::holder(say, ready),
        _ => supervisor::cli::main(),
    }
}

/// A line for the journal; nobody may be listening any more.
fn say(words: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Where there is no systemd, nobody waits for it.
fn ready() {
    if let Err(error) = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]) {
        say(&format!("systemd could not be told: {error}"));
    }
}
