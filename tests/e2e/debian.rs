//! The package for servers: its units are ones that systemd understands, and it carries what it should.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use test_support::data;
use test_support::eventually::eventually;
use test_support::program::said;
use test_support::skip::skipped;

const UNITS: [&str; 4] = [
    "redhold.service",
    "redhold-instances.service",
    "redhold-http.socket",
    "redhold-https.socket",
];

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

fn offered(program: &str) -> bool {
    Command::new(program)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

#[test]
fn systemd_understands_the_units() {
    let test = "systemd_understands_the_units";
    if !offered("systemd-analyze") {
        return skipped(test, "systemd-analyze: sudo apt-get install systemd");
    }
    let folder = tempfile::tempdir().expect("a folder");
    for unit in UNITS {
        let text = fs::read_to_string(packaging().join(unit)).expect("a unit");
        // It wants the program to be there.
        let text = text.replace("/usr/bin/redhold", &data::binary().display().to_string());
        fs::write(folder.path().join(unit), text).expect("a unit");
    }
    let verify = |units: &[&str]| {
        Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=one"])
            .args(units.iter().map(|unit| folder.path().join(unit)))
            .output()
            .expect("systemd-analyze")
    };
    let output = verify(&UNITS);
    assert!(
        output.status.success() && said(&output).is_empty(),
        "{}",
        said(&output)
    );

    // It would have told of a word that it does not know.
    let broken = folder.path().join("broken.service");
    fs::write(&broken, "[Service]\nExecStart=/bin/true\nWatchdogSecs=30\n").expect("a unit");
    assert!(said(&verify(&["broken.service"])).contains("WatchdogSecs"));
}

#[test]
fn the_default_configuration_is_right_also_without_its_comments() {
    let text = fs::read_to_string(packaging().join("redhold.toml")).expect("the configuration");
    let open: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if !option.starts_with(' ') => format!("{option}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    // Each way to certificates has options of its own.
    let mode = |mode: &str, without: &[&str]| -> String {
        let text = open
            .replace("\"local\"", mode)
            .replace("\"localhost\"", "\"nodes.example.org\"");
        let kept = text
            .lines()
            .filter(|line| !without.iter().any(|option| line.starts_with(option)));
        kept.map(|line| format!("{line}\n")).collect()
    };
    let acme = ["contact", "directory", "terms-agreed", "ca-file", "eab-"];
    let folder = tempfile::tempdir().expect("a folder");
    for (text, ok) in [
        (text, true),
        // All options at once, and one that is none.
        (mode("\"files\"", &acme), true),
        (
            mode("\"acme\"", &["certificate", "key =", "ca-file", "eab-"]),
            true,
        ),
        (mode("\"files\"", &acme).replace("data-dir", "data-dirs"), false),
    ] {
        let file = folder.path().join("redhold.toml");
        fs::write(&file, text).expect("a file");
        let output = Command::new(data::binary())
            .args(["serve", "--check", "--config"])
            .arg(&file)
            .output()
            .expect("redhold");
        assert_eq!(output.status.success(), ok, "{}", said(&output));
    }
}

/// What a fresh installation puts where; `man` stands for the pages, of which there is one per command.
const CONTENTS: [&str; 13] = [
    "-rw-r--r-- /etc/needrestart/conf.d/redhold.conf",
    "-rw-r--r-- /etc/redhold/redhold.toml",
    "-rw-r--r-- /usr/lib/systemd/system/redhold-http.socket",
    "-rw-r--r-- /usr/lib/systemd/system/redhold-https.socket",
    "-rw-r--r-- /usr/lib/systemd/system/redhold-instances.service",
    "-rw-r--r-- /usr/lib/systemd/system/redhold.service",
    "-rw-r--r-- /usr/share/bash-completion/completions/redhold",
    "-rw-r--r-- /usr/share/doc/redhold/README.md",
    "-rw-r--r-- /usr/share/doc/redhold/copyright",
    "-rw-r--r-- /usr/share/fish/vendor_completions.d/redhold.fish",
    "-rw-r--r-- /usr/share/zsh/vendor-completions/_redhold",
    "-rwxr-xr-x /usr/bin/redhold",
    "man",
];

#[test]
fn the_package_carries_what_it_should() {
    let test = "the_package_carries_what_it_should";
    if !offered("dpkg-deb") {
        return skipped(test, "dpkg-deb: sudo apt-get install dpkg");
    }
    if !offered("cargo-deb") {
        return skipped(test, "cargo deb: cargo install cargo-deb");
    }
    // A build folder as after a build for release, so that the test needs none: a debug build serves as well here.
    let folder = tempfile::tempdir().expect("a folder");
    let release = folder.path().join("release");
    fs::create_dir(&release).expect("a folder");
    fs::copy(data::binary(), release.join("redhold")).expect("the program");
    let manual = Command::new(data::binary())
        .args(["manual", "--to"])
        .arg(release.join("packaging"))
        .output()
        .expect("redhold");
    assert!(manual.status.success(), "{}", said(&manual));
    let package = folder.path().join("redhold.deb");
    let built = Command::new("cargo-deb")
        .args(["deb", "--no-build", "--fast", "--offline", "--output"])
        .arg(&package)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", folder.path())
        .output()
        .expect("cargo deb");
    assert!(built.status.success(), "{}", said(&built));

    let unpacked = folder.path().join("unpacked");
    let dpkg = Command::new("dpkg-deb")
        .arg("-R")
        .args([&package, &unpacked])
        .output();
    let dpkg = dpkg.expect("dpkg-deb");
    assert!(dpkg.status.success(), "{}", said(&dpkg));
    let mut pages = 0;
    let mut found: Vec<String> = Vec::new();
    let listed = Command::new("dpkg-deb")
        .arg("-c")
        .arg(&package)
        .output()
        .expect("dpkg-deb");
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let mut words = line.split_whitespace();
        let (mode, path) = (words.next().unwrap_or_default(), words.last().unwrap_or_default());
        let path = path.trim_start_matches('.');
        if path.starts_with("/usr/share/man/man1/redhold") {
            pages += 1;
        } else if !path.ends_with('/') {
            found.push(format!("{mode} {path}"));
        }
    }
    found.push("man".to_owned());
    found.sort();
    assert_eq!(found, CONTENTS);
    assert!(pages > 10, "{pages} manual pages");
    let control = |name: &str| fs::read_to_string(unpacked.join("DEBIAN").join(name)).expect(name);
    let conffiles = control("conffiles");
    let conffiles: Vec<&str> = conffiles.split_whitespace().collect();
    assert_eq!(
        conffiles,
        [
            "/etc/redhold/redhold.toml",
            "/etc/needrestart/conf.d/redhold.conf"
        ]
    );
    for script in ["postinst", "prerm", "postrm"] {
        control(script);
        let file = unpacked.join("DEBIAN").join(script);
        let checked = Command::new("sh").arg("-n").arg(&file).output().expect("sh");
        assert!(checked.status.success(), "{script}: {}", said(&checked));
    }
    assert!(control("templates").contains("redhold/purge-data"));
}

#[test]
fn completions_and_manual_tell_of_every_command() {
    for (args, part) in [
        (&["completions", "bash"][..], "_redhold"),
        (&["completions", "zsh"], "#compdef redhold"),
        (&["completions", "fish"], "complete -c redhold"),
        (&["manual"], "redhold\\-serve(1)"),
    ] {
        let output = Command::new(data::binary()).args(args).output().expect("redhold");
        let text = said(&output);
        assert!(output.status.success() && text.contains(part), "{args:?}: {text}");
        for hidden in ["keeper", "holder"] {
            assert!(!text.contains(hidden), "{args:?} tells of {hidden}");
        }
    }
}

/// Starts `redhold serve` as systemd would: the socket is descriptor 3, and the variables tell of it.
fn serve_on(listener: &TcpListener, name: &str, data: &Path) -> Command {
    let script = format!(
        "exec 3<&{}; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}; exec \"$@\"",
        listener.as_raw_fd()
    );
    nix::fcntl::fcntl(
        listener,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .expect("a socket to pass on");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh"])
        .arg(data::binary())
        .args(["serve", "--tls", "off", "--data-dir"])
        .arg(data)
        .args(["--http", "127.0.0.1:1"])
        // The machine's own network stays as it is.
        .env("REDHOLD_NETWORK", "host")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_socket_of_the_service_manager_is_served() {
    let folder = tempfile::Builder::new()
        .prefix("rh-")
        .tempdir()
        .expect("a folder");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = listener.local_addr().expect("an address");
    // It waits in the socket before anybody serves it.
    let mut early = TcpStream::connect(address).expect("a connection");
    early
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("a request");
    let mut host = serve_on(&listener, "http", folder.path())
        .spawn()
        .expect("a host");
    drop(listener);
    let answer = std::io::read_to_string(&mut early).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(host.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
    eventually("the host ends", Duration::from_secs(20), || {
        host.try_wait().expect("a child").ok_or("it runs")
    });
}

#[test]
fn sockets_that_nobody_can_serve_are_refused() {
    let folder = tempfile::Builder::new()
        .prefix("rh-")
        .tempdir()
        .expect("a folder");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    for (name, words) in [("gopher", "`gopher`"), ("https", "`tls` is off")] {
        let output = serve_on(&listener, name, folder.path())
            .output()
            .expect("redhold");
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}
