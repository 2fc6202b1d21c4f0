//! `redhold serve`: a host of many instances, in the foreground, for systemd or for a terminal.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::app::{self, Inherited, Ready};
use crate::cli::Global;
use crate::cli::output::{Output, Style};
use crate::config::{self, Config, Flags, LogFormat};
use crate::paths;
use crate::problem::{Code, Problem};
use crate::proxy::activation::Given;
use crate::telemetry::journal::{Journal, leads_to_the_journal};

/// Where the configuration is looked for when none is named.
const CONFIG: &str = "/etc/redhold/redhold.toml";

const ABOUT: &str = "\
The configuration file is TOML, and every option has a name there and, where shown, in the environment; a flag wins \
over the environment, that over the file:

  data-dir = \"/var/lib/redhold\"      # REDHOLD_DATA_DIR
  domain = \"nodes.example.org\"       # REDHOLD_DOMAIN; instances are <name>.nodes.example.org
  http = [\"[::]:80\"]                 # REDHOLD_HTTP
  https = [\"[::]:443\"]               # REDHOLD_HTTPS
  control-group = \"/a.slice/b.service\"  # REDHOLD_CGROUP; where instances live, set by the systemd unit
  by-path = false                    # true: instances are also at /i/<name>/ of the domain, all one site to browsers
  starts-at-once = 4                 # two per core when it is left out
  connections-per-client = 2048      # at once, of one address (IPv6: one network of 64 bits)
  proxies = [\"192.0.2.7\"]          # proxies before this host, addresses or networks; they are not bounded
  drain-minutes = 1440               # how long connections may outlive an upgrade in the process that began them
  log = \"auto\"                       # REDHOLD_LOG_FORMAT: auto, text, json or journald
  [tls]
  mode = \"files\"                     # REDHOLD_TLS: local, files, acme or off
  certificate = \"/etc/ssl/mine.pem\"  # REDHOLD_CERTIFICATE
  key = \"/etc/ssl/mine.key\"          # REDHOLD_KEY
  [network]
  default = \"isolated\"               # REDHOLD_NETWORK; or host, or none; left out, isolated where this host can
  deny = [\"10.0.0.0/8\"]              # what isolated instances reach only by naming the very address; usually nothing
  forwarding = \"on\"                  # leave: never switch on what passes packets on
  pool = \"100.96.0.0/12\"             # addresses of isolated instances, and pool6 = \"fd3e:9c57:a2b1::/64\"

With mode = \"acme\" an authority gives a certificate for the domain and for each instance, over HTTP on port 80:

  [tls]
  mode = \"acme\"
  contact = \"mailto:you@example.org\"  # whom it may write to
  terms-agreed = true                # you agree to its terms of service
  directory = \"https://...\"          # Let's Encrypt when it is left out
  ca-file = \"/etc/ssl/acme.pem\"      # by which a private ACME server is believed
  eab-kid = \"...\"                    # an external account, where it wants one,
  eab-key-file = \"/etc/redhold/eab.key\"  # with its key in base64url

SIGTERM and Ctrl-C end the host and leave all instances running; the next start takes them over. SIGHUP reads the \
certificate again, or orders again what failed. SIGUSR2 puts the program that is now in the file from which this one was started in its place, as \
`redhold upgrade` does. Sockets that systemd passes under the names `http` and `https` take the place of the addresses. \
REDHOLD_LOG sets what is logged, for example `debug` or `supervisor::proxy=debug`.";

/// Host many isolated Node-RED instances
#[derive(Debug, Args)]
#[command(after_long_help = ABOUT)]
pub struct Serve {
    /// The configuration file [default: /etc/redhold/redhold.toml where it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address in clear; with TLS it only leads there [default: every address, port 80 for root, else 8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<Vec<String>>,
    /// Address with TLS [default: every address, port 443 for root, else 8443]
    #[arg(long, value_name = "ADDRESS")]
    https: Option<Vec<String>>,
    /// The host's own name; an instance is NAME.DOMAIN [default: localhost]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Where certificates come from: local (an authority of the host's own), files, acme, or off [default: local]
    #[arg(long, value_name = "MODE")]
    tls: Option<String>,
    /// Certificates, PEM, the host's own first
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How to log: text, json, journald, or auto, which is journald under systemd and else text [default: auto]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Take over from the supervisor at the standard input, which systemd watches in this time, in microseconds
    #[arg(long, value_name = "MICROS", require_equals = true, hide = true)]
    takes_over: Option<u64>,
    /// Only check the configuration
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// When the host cannot start.
pub fn run(command: &Serve, global: &Global, output: &Output) -> Result<(), Problem> {
    let config = configuration(command, global)?;
    if command.check {
        output.note("the configuration is right");
        return Ok(());
    }
    log(config.log);
    many_files();
    // Before the first thread: variables are taken out of the environment, and the standard input is replaced.
    let (given, inherited) = match command.takes_over {
        Some(watchdog) => Inherited::take(watchdog)?,
        None => (Given::take()?, Inherited::default()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Host, "cannot start the event loop").because(error))?;
    let shown = *output;
    let ended = runtime.block_on(app::run(config, given, inherited, move |ready| {
        show(ready, &shown);
    }));
    // What is still being vetted is vetted again by whoever asks next.
    runtime.shutdown_timeout(LINGERS);
    ended
}

/// How long files may still be read and written when everything else has ended.
const LINGERS: Duration = Duration::from_secs(5);

/// Takes all the descriptors that this process may have: each connection needs two, and shells give 1024 to begin with.
/// Where the kernel refuses, fewer connections are taken at once.
fn many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

fn configuration(command: &Serve, global: &Global) -> Result<Config, Problem> {
    let root = nix::unistd::geteuid().is_root();
    let path = match &command.config {
        Some(path) => Some(path.clone()),
        None => Some(PathBuf::from(CONFIG)).filter(|path| path.exists()),
    };
    let text = match &path {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            Problem::io(format!("cannot read the configuration {}", path.display()), error)
        })?),
    };
    let shown = path.as_ref().map(|path| path.display().to_string());
    let default_data_dir = paths::host_data_dir(global.data_dir.as_deref())?;
    let flags = Flags {
        // Named by flag or environment it wins over the file; the default does not.
        data_dir: paths::named_data_dir(global.data_dir.as_deref()),
        http: command.http.clone(),
        https: command.https.clone(),
        domain: command.domain.clone(),
        tls: command.tls.clone(),
        certificate: command.certificate.clone(),
        key: command.key.clone(),
        log: command.log_format.clone(),
    };
    config::resolve(
        flags,
        |name| std::env::var(name).ok(),
        shown.as_deref().zip(text.as_deref()),
        default_data_dir,
        root,
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    )
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("REDHOLD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let said = std::env::var("JOURNAL_STREAM").ok();
    let wanted = match format {
        LogFormat::Auto => leads_to_the_journal(std::io::stderr(), said.as_deref()),
        format => format == LogFormat::Journald,
    };
    let journal = wanted.then(Journal::open);
    if let Some(Ok(journal)) = journal {
        // Set once, before anything else: nobody else can have set it.
        let _ = tracing_subscriber::registry()
            .with(journal.with_filter(filter))
            .try_init();
        return;
    }
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        // It would say on the standard error that it cannot write there, and panic when that fails: a full disk under
        // the log must not end whoever has something to say.
        .log_internal_errors(false);
    let _ = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Auto | LogFormat::Text | LogFormat::Journald => lines.try_init(),
    };
    if let Some(Err(error)) = journal {
        warn!(%error, "systemd's journal does not listen here, so the log is written as text");
    }
}

fn show(ready: &Ready, output: &Output) {
    let paint = |text: &str| output.paint(Style::Cyan, text);
    output.line(&format!(
        "Redhold serves {}",
        paint(&ready.addresses.of("<name>"))
    ));
    output.line(&format!("  local socket  {}", ready.socket.display()));
    if let Some(authority) = &ready.authority {
        output.line(&format!(
            "  certificates  by this host's own authority, {}",
            authority.display()
        ));
    }
    for lesser in &ready.lesser {
        output.warning(lesser);
    }
    if ready.first {
        output.line("");
        output.line(&format!(
            "First start. The administrator's token is in {}",
            ready.token.display()
        ));
        output.line(&format!(
            "  create an instance:  {}",
            paint("redhold instance create NAME")
        ));
        output.line(&format!(
            "  open its editor:     {} and give that token",
            ready.addresses.of("NAME")
        ));
    }
}
