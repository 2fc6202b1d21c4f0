//! The host's log in systemd's journal: a real journald, in a mount namespace where its sockets are its own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use test_support::data;
use test_support::host::Host;
use test_support::program::said;
use test_support::skip::skipped;

const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// Starts the journal, then a host by `$START`; runs an instance, and prints what the journal has of it.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/journal /run/log/journal
if [ ! -s /etc/machine-id ]; then
  echo 0123456789abcdef0123456789abcdef > /run/machine-id
  mount --bind /run/machine-id /etc/machine-id
fi
cat > /run/service <<'END'
#!/bin/sh
JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"
END
chmod 755 /run/service
"$JOURNALD" 2>/run/journald.log &
journal=$!
for _ in $(seq 100); do [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/stdout ] && break; sleep 0.1; done
$START "$REDHOLD" serve --tls off --http 127.0.0.1:0 --data-dir "$DATA" $FORMAT >/run/said 2>&1 &
host=$!
for _ in $(seq 300); do [ -S "$DATA/run/api.sock" ] && break; sleep 0.1; done
"$REDHOLD" instance create pump --wait --data-dir "$DATA" >&2
"$REDHOLD" instance stop pump --data-dir "$DATA" >&2
kill -TERM $host
wait $host || true
for _ in $(seq 50); do
  journalctl -D /run/log/journal/$(cat /etc/machine-id) -t redhold -o json --no-pager > /run/entries 2>/run/errors || true
  grep -q "$WANTED" /run/entries && break
  sleep 0.1
done
cat /run/entries
cat /run/said >&2
kill $journal
wait $journal || true
"#;

/// What systemd does for a service: the standard error leads into the journal, and a variable says so.
const SERVICE: &str = "systemd-cat -t redhold /run/service";

/// The entries of a host that was started like this.
fn entries(start: &str, format: &str) -> Vec<Value> {
    let host = Host::prepared(&[]);
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "bash", "-c", SCRIPT])
        .env("JOURNALD", JOURNALD)
        .env("REDHOLD", data::binary())
        // The machine's own network stays as it is.
        .env("REDHOLD_NETWORK", "host")
        .env("DATA", host.data())
        .env("START", start)
        .env("FORMAT", format)
        .env("WANTED", "EVENT.*stopped")
        .output()
        .expect("unshare");
    assert!(output.status.success(), "{}", said(&output));
    let entries: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("an entry"))
        .collect();
    assert!(!entries.is_empty(), "{}", said(&output));
    entries
}

#[test]
fn events_arrive_in_the_journal_with_fields() {
    let test = "events_arrive_in_the_journal_with_fields";
    if !nix::unistd::geteuid().is_root() || !Path::new(JOURNALD).exists() {
        return skipped(test, "root and systemd-journald: sudo apt-get install systemd");
    }
    // By its own choice, as a service whose standard error leads into the journal, and because it was told to.
    for (start, format) in [(SERVICE, ""), ("", "--log-format journald")] {
        let entries = entries(start, format);
        let ready = entries.iter().find(|entry| entry["EVENT"] == "ready");
        let ready = ready.unwrap_or_else(|| {
            let messages: Vec<_> = entries.iter().map(|entry| &entry["MESSAGE"]).collect();
            panic!("{start}: {messages:?}")
        });
        assert_eq!(ready["PRIORITY"], "6");
        assert_eq!(ready["_TRANSPORT"], "journal");
        let id = ready["INSTANCE"].as_str().expect("an instance");
        let message = ready["MESSAGE"].as_str().expect("a message");
        assert!(
            message.starts_with("its flows run") && message.contains(id),
            "{message}"
        );
    }
}
