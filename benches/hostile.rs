//! What packages that attack the analyser cost it: time, and the most memory that any process of `redhold vet` took, and
//! that `redhold vet` itself took.
//!
//! Run: `cargo bench -p supervisor --bench hostile`, with a part of a name for some cases: `-- WORD`. Each case runs under a
//! process of its own, of which the kernel tells the peak.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use test_support::bench::processes;
use test_support::bench::table::{Aim, Table};
use test_support::eventually::let_pass;
use test_support::package::Package;

/// What a case is called, and its package.
type Case = (&'static str, fn() -> Package);

const CASES: [Case; 19] = [
    ("a harmless node", || node("")),
    ("300 MB of zeros in an archive", || {
        node("").file("zeros", &vec![0; 300 << 20])
    }),
    ("250 MB of text that nobody runs", || {
        node("").file("text.txt", &text(250 << 20))
    }),
    ("29,000 files", || {
        (0..29_000).fold(node(""), |package, at| package.file(&format!("f/{at}.js"), b"x"))
    }),
    ("40,000 files", || {
        (0..40_000).fold(node(""), |package, at| package.file(&format!("f/{at}.js"), b"x"))
    }),
    ("100 MB of code in a file", || {
        node("require('./large.js')").file("large.js", &"x=1;".repeat(25 << 20).into_bytes())
    }),
    ("30 MB of code in each of eight files", || {
        (0..8).fold(node(""), |package, at| {
            package.file(&format!("large{at}.js"), &"x=1;".repeat(7 << 20).into_bytes())
        })
    }),
    ("code nested 100,000 deep", || {
        node("require('./deep.js')").file("deep.js", format!("eval('1');{}", "[".repeat(100_000)).as_bytes())
    }),
    ("9.9 MB of code in each of eight files", || {
        (0..8).fold(node(""), |package, at| {
            package.file(&format!("large{at}.js"), &repeated("x=1;", LARGEST))
        })
    }),
    (
        "9.9 MB of code of the costliest kind in each of eight files",
        || {
            (0..8).fold(node(""), |package, at| {
                package.file(&format!("large{at}.js"), &repeated("[a]=b=>c;", LARGEST))
            })
        },
    ),
    ("as deep as is read, in each of a hundred files", || {
        let deep = format!("{}{}", "[".repeat(4_900), "]".repeat(4_900));
        (0..100).fold(node(""), |package, at| {
            package.file(&format!("deep{at}.js"), deep.as_bytes())
        })
    }),
    ("a chain of 300,000 promises", || {
        let chain = format!(
            "const p = Promise.resolve(){};",
            ".then((a) => a)".repeat(300_000)
        );
        node("").file("chain.js", chain.as_bytes())
    }),
    ("9.9 MB of texts that look like addresses, keys and blobs", || {
        node("").file(
            "bomb.js",
            &repeated(
                "a='http://aaaaaaaa.';b='AAAAAAAAAAAAAAAAAA==';c='1.1.1.1.1.1.';",
                LARGEST,
            ),
        )
    }),
    ("an endless loop", || node("for (;;);")),
    ("an endless chain of promises", || {
        node("const again = () => Promise.resolve().then(again); again();")
    }),
    ("timers without end", || {
        node("for (let i = 0; i < 1e4; i++) setInterval(() => new Date(), 1);")
    }),
    ("memory without end", || {
        node("const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1));")
    }),
    ("events without end", || {
        node("for (let i = 0; ; i++) process.env['K' + i];")
    }),
    ("output without end", || {
        node("for (;;) process.stdout.write(Buffer.alloc(1 << 20, 65));")
    }),
];

/// Just below the largest source that is read.
const LARGEST: usize = 9_900_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, data, archive] = &arguments[..]
        && word == "--one"
    {
        one(Path::new(data), Path::new(archive));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut table = Table::default();
    // Cargo adds a word of its own.
    let words: Vec<&String> = arguments[1..].iter().filter(|word| *word != "--bench").collect();
    let asked = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(*word));
    for (at, (name, package)) in [CASES[0]].iter().chain(&CASES).enumerate() {
        if at > 0 && !asked(name) {
            continue;
        }
        let archive = folder.path().join("case.tgz");
        std::fs::write(&archive, package().pack().bytes).expect("written");
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--one".as_ref(),
                folder.path().join("data").as_os_str(),
                archive.as_os_str(),
            ])
            .output()
            .expect("it ran");
        let text = String::from_utf8_lossy(&output.stdout);
        let words: Vec<&str> = text.split_whitespace().collect();
        let [seconds, peak, host, code] = words[..] else {
            panic!("{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
        };
        // The first one only makes the engine ready.
        if at == 0 {
            continue;
        }
        table.alone(
            &format!("{name} (exit code {code})"),
            "MB",
            peak.parse().expect("a number"),
            Some(Aim::Most(3072.0)),
        );
        table.alone(
            "    redhold vet itself",
            "MB",
            host.parse().expect("a number"),
            None,
        );
        table.alone("    time", "s", seconds.parse().expect("a number"), None);
    }
    table.print();
}

/// Vets one archive and prints seconds, the largest process and the first one in MB, and the exit code.
#[expect(clippy::print_stdout, reason = "it is read by the process above")]
fn one(data: &Path, archive: &Path) {
    let start = Instant::now();
    let mut child = Command::new(test_support::redhold!())
        .args([
            "vet".as_ref(),
            "--data-dir".as_ref(),
            data.as_os_str(),
            archive.as_os_str(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let pid = i32::try_from(child.id()).expect("a process");
    let mut host = 0.0;
    let status = loop {
        // The kernel keeps the mark, so only what it grows by between the last look and the end is missed.
        host = processes::peak(pid).unwrap_or(host);
        match child.try_wait().expect("it is awaited") {
            Some(status) => break status,
            None => let_pass(Duration::from_millis(20)),
        }
    };
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage").max_rss();
    println!(
        "{:.2} {} {host:.0} {}",
        start.elapsed().as_secs_f64(),
        peak / 1024,
        status.code().unwrap_or(-1)
    );
}

/// A package that does something when it is loaded.
fn node(attack: &str) -> Package {
    Package::new("node-red-contrib-odd", "1.0.0").file("index.js", attack.as_bytes())
}

/// So many bytes of the same code, over and over.
fn repeated(code: &str, length: usize) -> Vec<u8> {
    code.repeat(length / code.len()).into_bytes()
}

/// Text that does not pack well.
fn text(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let letters = (0..length).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 24) as u8 % 26
    });
    letters.collect()
}
