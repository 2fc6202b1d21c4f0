//! Commands that were started or would be: what their words give away.

/// Programs that fetch something from a network.
const FETCHERS: [&str; 8] = [
    "curl",
    "wget",
    "fetch",
    "aria2c",
    "powershell",
    "pwsh",
    "certutil",
    "bitsadmin",
];
/// Programs that run what they are given.
const SHELLS: [&str; 12] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "ash",
    "cmd",
    "powershell",
    "pwsh",
    "python",
    "python3",
    "perl",
];

/// The name of a program without its folder and its ending.
pub(super) fn program(word: &str) -> &str {
    let word = word.trim_matches(['"', '\'']);
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word);
    name.strip_suffix(".exe").unwrap_or(name)
}

/// Whether a program is a shell or runs text as one does.
pub(super) fn is_shell(word: &str) -> bool {
    SHELLS.contains(&program(word))
}

/// Whether a command line fetches something from a network.
pub(super) fn fetches<'a>(words: impl IntoIterator<Item = &'a str>) -> bool {
    words
        .into_iter()
        .flat_map(|word| word.split([' ', '\t', '\n', ';', '|', '&', '(', ')', '`', '"', '\'']))
        .any(|word| FETCHERS.contains(&program(word)))
}

/// The text that a command line has another interpreter run, where it does: `node -e TEXT`.
pub(super) fn script<'a>(command: &str, arguments: &'a [String]) -> Option<&'a str> {
    const INTERPRETERS: [&str; 10] = [
        "node",
        "nodejs",
        "bun",
        "deno",
        "python",
        "python3",
        "perl",
        "ruby",
        "php",
        "powershell",
    ];
    if !INTERPRETERS.contains(&program(command)) {
        return None;
    }
    let flag = arguments.iter().position(|argument| {
        [
            "-e",
            "-c",
            "-r",
            "-p",
            "-pe",
            "-",
            "--eval",
            "--print",
            "eval",
            "-Command",
            "-EncodedCommand",
        ]
        .contains(&&**argument)
    })?;
    arguments.get(flag + 1).map(String::as_str)
}

/// Whether a text that runs where nothing is watched could send or start something there.
pub(super) fn reaches_out(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "http",
        "fetch",
        "net'",
        "net\"",
        "dns",
        "socket",
        "child_process",
        "spawn",
        "exec",
        "process.env",
        "eval",
        "Function",
    ];
    WORDS.iter().any(|word| text.contains(word))
}

/// Whether a shell is started for whoever is at its other end: without a command, or told to be interactive.
pub(super) fn is_open_shell(command: &str, arguments: &[String]) -> bool {
    is_shell(command)
        && arguments
            .iter()
            .all(|argument| ["-i", "-l", "-il", "--login", "/q"].contains(&&**argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_give_it_away() {
        assert!(fetches(["sh", "-c", "curl -s https://x.example | sh"]));
        assert!(fetches(["/usr/bin/wget", "x"]));
        assert!(fetches(["sh", "-c", "$(curl x)"]));
        assert!(!fetches(["ping", "-c", "1", "curl.example"]));
        assert!(is_open_shell("/bin/sh", &[]));
        assert!(is_open_shell("bash", &["-i".to_owned()]));
        assert!(!is_open_shell("bash", &["-c".to_owned(), "date".to_owned()]));
        assert!(is_open_shell("cmd.exe", &[]));
    }
}
