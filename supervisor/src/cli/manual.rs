//! `redhold manual` and `redhold completions`: what a package carries beside the binary, made from the command line's own
//! description, so that they cannot tell of an option that is not there.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::cli::output::Output;
use crate::problem::{Code, Problem};

/// What the program is called in its manual and to a shell.
const NAME: &str = "redhold";

/// The shells whose completions a package carries, and the file names that they look for.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "redhold.bash"),
    (Shell::Zsh, "_redhold"),
    (Shell::Fish, "redhold.fish"),
];

/// Print the manual page
#[derive(Debug, Args)]
pub struct Manual {
    /// Write a page per command, and completions for bash, zsh and fish, into this folder instead
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Print completions for a shell
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

/// Runs `redhold manual`.
///
/// # Errors
/// When the output or the folder cannot be written.
pub fn manual(command: &Manual, described: Command, output: &Output) -> Result<(), Problem> {
    let Some(folder) = &command.to else {
        let mut page = Vec::new();
        clap_mangen::Man::new(described)
            .render(&mut page)
            .map_err(|error| Problem::new(Code::Failed, "cannot write the manual").because(error))?;
        return print(&page);
    };
    let cannot = |error| Problem::io(format!("cannot write into {}", folder.display()), error);
    fs::create_dir_all(folder).map_err(cannot)?;
    clap_mangen::generate_to(described.clone(), folder).map_err(cannot)?;
    write_completions(&described, folder).map_err(cannot)?;
    output.note(&format!("manual and completions are in {}", folder.display()));
    Ok(())
}

/// Runs `redhold completions`.
///
/// # Errors
/// When the output cannot be written.
pub fn completions(command: &Completions, described: Command) -> Result<(), Problem> {
    print(&script(command.shell, described))
}

fn write_completions(described: &Command, folder: &Path) -> io::Result<()> {
    for (shell, name) in SHELLS {
        fs::write(folder.join(name), script(shell, described.clone()))?;
    }
    Ok(())
}

fn script(shell: Shell, mut described: Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut described, NAME, &mut script);
    script
}

fn print(bytes: &[u8]) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Problem::io("cannot write to the standard output", error))
}
