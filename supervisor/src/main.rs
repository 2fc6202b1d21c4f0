//! The one binary: picks the role, prints one problem, sets the exit code.

fn main() -> std::process::ExitCode {
    supervisor::cli::main()
}
