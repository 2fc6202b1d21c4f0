//! The world that a guest believes to be in: files, network, environment, clock, chance. All of it made up, each attempt
//! recorded by the host.
//!
//! # The door
//! Inside the guest there is one function, `host(op, json, bytes)`; the prelude hides it before foreign code runs. `op` is
//! a short name, `json` a JSON text with the arguments, `bytes` a `Uint8Array` or nothing. What comes back is a string
//! (JSON, if not said otherwise), a `Uint8Array`, or `undefined`; a failure is `{"error":{"code":"ENOENT","message":"..."}}`.
//!
//! | operation | arguments | gives |
//! |---|---|---|
//! | `site.mark` | | a number for whoever calls now: later calls with it as `by` are theirs when nobody is on the stack |
//! | `jobs` | | runs what promises wait for: `{ran}` |
//! | `code.function` | `path` | the file as `function (exports, require, module, __filename, __dirname)`; throws a `SyntaxError` |
//! | `code.script` | `file` + source | what the text comes to as a script under that name; throws |
//! | `fs.read` | `path` | bytes |
//! | `fs.write` | `path, append, exclusive, mode` + bytes | |
//! | `fs.stat` | `path, link` | `{type: file, directory or link, size, mode, mtime_ms, nlink, uid, gid}` |
//! | `fs.list` | `path` | `[{name, type}]` |
//! | `fs.delete` `fs.mkdir` | `path, recursive` | |
//! | `fs.rename` | `from, to` | |
//! | `fs.chmod` `fs.watch` | `path, mode` | |
//! | `fs.link` | `target, path` | |
//! | `fs.readlink` `fs.real` | `path` | a path |
//! | `module.resolve` | `from, name, import` | `{path, format: commonjs, module, json, native, wasm or builtin}` |
//! | `module.source` | `path` | text as it is; counted as loaded |
//! | `net.connect` | `protocol, host, port, tls, insecure` | `{id, answer: open, address, deliver: [{after_ms, base64}]}` |
//! | `net.send` | `id` + bytes | `{deliver, close}` |
//! | `net.close` | `id` | |
//! | `net.listen` | `protocol, host, port` | `{port}` |
//! | `net.multicast` | `group` | |
//! | `dns.resolve` | `name, type` | `{addresses}` |
//! | `http.request` | `method, url, headers, insecure` + body | `{id, status, message, headers: [[name, value]], address}` |
//! | `http.body` | `id` | bytes |
//! | `proc.spawn` | `command, args, shell, detached, env` + input | `{pid, status, signal, stdout, stderr}` |
//! | `proc.exit` `proc.kill` `proc.setuid` | `code` / `pid, signal` | |
//! | `worker.start` | + source | |
//! | `env.get` `env.keys` `env.set` `env.delete` | `key, value` | a value or `null`; keys |
//! | `os.info` | `what`: as the functions of `os` are called, `user`, `interfaces`, `cpu_model`, `locale` | a value |
//! | `proc.info` | | `{pid, ppid, uid, gid, cwd, platform, arch, exec_path, version, versions}` |
//! | `text.encode` | in place of `json` the text as it is | bytes |
//! | `crypto.*` | see `crypto` | |
//! | `zlib` `url.parse` `text.decode` | see `codec` | |
//! | `code.eval` | `how, literal` + source | |
//! | `wasm` | `how` + bytes | |
//! | `native` | `path` | |
//! | `record` | `what`: one of [`What`] that the host cannot see by itself | |
//! | `phase` | `phase`: a [`Phase`](crate::trace::Phase) | |
//! | `clock.now` `clock.advance` | `ms` | `{ms, run_ms}` |
//! | `output` | `stream` + bytes | |
//!
//! `import` and `import()` go past the door: the engine asks the host itself, and for what is no module the function
//! `synthesize` of the prelude. Hosts below [`CONFIGURED_DOMAIN`] and addresses in 192.0.2.0/24 are those that generated
//! configurations name, as are files below `/data/configured`.

mod answers;
mod args;
mod classes;
mod clock;
mod codec;
mod conditions;
mod crypto;
mod files;
mod fs;
mod furnish;
mod log;
mod machine;
mod modules;
mod network;
mod ordered;
mod process;
mod protocols;
mod secrets;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::closure::{Closure, hex};
use crate::trace::{End, Origin, Payload, Site, Trace, What};
use args::{Answer, Args};
use clock::Clock;
use files::Files;
use log::Log;
use modules::Resolver;
use network::Network;
use secrets::Secrets;

pub use args::{Fault, Reply, Spent};
pub use conditions::{Chance, Conditions};
pub use machine::{HOME, Machine, PACKAGES, USER_DIR};
pub use modules::{Format, Resolved};
pub use network::CONFIGURED_DOMAIN;
pub use secrets::Set;

/// Characters of a payload that are shown.
const SHOWN: usize = 240;

/// The world of one run.
pub struct World {
    conditions: Conditions,
    files: Files,
    environment: BTreeMap<String, String>,
    network: Network,
    secrets: Secrets,
    clock: Clock,
    chance: fastrand::Rng,
    log: Log,
    /// First labels of names that were asked for.
    asked: Vec<u8>,
    asked_environment: BTreeSet<(Option<Site>, String)>,
    loaded: BTreeSet<String>,
    /// What the host did for the guest and has not been paid for yet, in units of fuel.
    work: u64,
}

/// What the host's work costs, in units of fuel: about what it takes of a processor's time.
mod price {
    /// Any call.
    pub(super) const CALL: u64 = 500;
    /// One byte given, taken or compressed.
    pub(super) const BYTE: u64 = 2;
    /// One byte in which secrets are looked for.
    pub(super) const SEARCHED: u64 = 30;
    /// One byte of a `package.json` that is read on the way to a module.
    pub(super) const MANIFEST: u64 = 40;
}

impl World {
    /// A world with a closure in the user directory.
    #[must_use]
    pub fn new(closure: &Closure, conditions: Conditions) -> Self {
        let mut world = Self::empty(conditions);
        let (machine, secrets) = (world.conditions.machine.clone(), &mut world.secrets);
        world.environment = machine::environment(&machine, secrets);
        world.environment.extend(world.conditions.environment.clone());
        furnish::furnish(&mut world.files, &machine, secrets);
        world.files.remember();
        for (place, package) in closure.places() {
            for (path, content) in package.files() {
                world.files.place(
                    &files::normal(&format!("{USER_DIR}/{place}/{path}")),
                    content.clone(),
                    0o644,
                );
            }
        }
        world
    }

    /// A world for making an image: nothing but the prelude's own packages, below [`PACKAGES`].
    #[must_use]
    pub fn for_preparing(packages: Vec<(String, Bytes)>) -> Self {
        let mut world = Self::empty(Conditions::default());
        for (path, content) in packages {
            world.files.place(&format!("{PACKAGES}/{path}"), content, 0o644);
        }
        world
    }

    fn empty(conditions: Conditions) -> Self {
        let seed = match conditions.chance {
            Chance::Seed(seed) => seed,
            Chance::Lowest | Chance::Highest => 0,
        };
        Self {
            files: Files::default(),
            environment: BTreeMap::new(),
            network: Network::default(),
            secrets: Secrets::new(conditions.secrets),
            clock: Clock::new(conditions.start),
            chance: fastrand::Rng::with_seed(seed),
            log: Log::new(conditions.events, conditions.output),
            asked: Vec::new(),
            asked_environment: BTreeSet::new(),
            loaded: BTreeSet::new(),
            work: 0,
            conditions,
        }
    }

    /// Under which conditions the run takes place.
    #[must_use]
    pub const fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Whether functions and branches tell that they ran.
    #[must_use]
    pub const fn covers(&self) -> bool {
        self.conditions.coverage
    }

    /// Plants a secret of a class that the caller puts somewhere itself, and gives it.
    pub fn plant(&mut self, class: &'static str, name: &str, length: usize) -> String {
        self.secrets.plant(class, name, length)
    }

    /// Whether an operation can leave an event, so that it must be known who calls.
    #[must_use]
    pub fn records(&self, op: &str) -> bool {
        let silent = matches!(
            op,
            "zlib"
                | "url.parse"
                | "text.decode"
                | "phase"
                | "http.body"
                | "net.close"
                | "module.resolve"
                | "module.source"
                | "fs.real"
        );
        !(silent || op.starts_with("crypto.") || op.starts_with("clock."))
    }

    /// Does what the guest asks for.
    ///
    /// # Errors
    /// When a budget is spent; the run is then over.
    pub fn call(
        &mut self,
        op: &str,
        json: &str,
        bytes: Option<&[u8]>,
        origin: Origin,
    ) -> Result<Reply, Spent> {
        let args = Args::parse(json, bytes);
        self.log.weight = json.len();
        let answer = self.answer(op, &args, origin)?;
        let reply = answer.unwrap_or_else(|fault| fault.reply());
        let given = match &reply {
            Reply::Nothing => 0,
            Reply::Text(text) => text.len(),
            Reply::Bytes(bytes) => bytes.len(),
        };
        let moved = json.len() + bytes.map_or(0, <[u8]>::len) + given;
        self.work += price::CALL + moved as u64 * price::BYTE;
        Ok(reply)
    }

    /// Counts work that was done for the guest elsewhere, in units of fuel.
    pub const fn charge(&mut self, work: u64) {
        self.work += work;
    }

    /// What the host did since this was last asked, in units of fuel. Whoever runs the guest takes it from its budget, so
    /// that nobody can have the host work for nothing.
    pub fn take_work(&mut self) -> u64 {
        std::mem::take(&mut self.work)
    }

    fn answer(&mut self, op: &str, args: &Args<'_>, origin: Origin) -> Answer {
        match op {
            "fs.read" => self.fs_read(args, origin),
            "fs.write" => self.fs_write(args, origin),
            "fs.stat" => self.fs_stat(args, origin),
            "fs.list" => self.fs_list(args, origin),
            "fs.delete" => self.fs_delete(args, origin),
            "fs.mkdir" => self.fs_mkdir(args, origin),
            "fs.rename" => self.fs_rename(args, origin),
            "fs.chmod" => self.fs_chmod(args, origin),
            "fs.watch" => self.fs_watch(args, origin),
            "fs.link" => self.fs_link(args, origin),
            "fs.readlink" => self.fs_readlink(args),
            "fs.real" => self.fs_real(args),
            "module.resolve" => self.module_resolve(args),
            "module.source" => self.module_source(args),
            "net.connect" => self.net_connect(args, origin),
            "net.send" => self.net_send(args, origin),
            "net.close" => self.net_close(args),
            "net.listen" => self.net_listen(args, origin),
            "net.multicast" => self.net_multicast(args, origin),
            "dns.resolve" => self.dns_resolve(args, origin),
            "http.request" => self.http_request(args, origin),
            "http.body" => self.http_body(args),
            "proc.spawn" => self.proc_spawn(args, origin),
            "proc.exit" => self.proc_exit(args, origin),
            "proc.kill" => self.proc_kill(args, origin),
            "proc.setuid" => self.proc_setuid(origin),
            "worker.start" => self.worker_start(args, origin),
            "env.get" => self.env_get(args, origin),
            "env.keys" => self.env_keys(origin),
            "env.set" => self.env_set(args, origin),
            "env.delete" => self.env_delete(args, origin),
            "os.info" => self.os_info(args, origin),
            "proc.info" => Ok(Ok(self.conditions.machine.process().into())),
            "code.eval" => self.code_eval(args, origin),
            "wasm" => self.wasm(args, origin),
            "native" => self.native(args, origin),
            "record" => self.record_told(args, origin),
            "phase" => self.phase(args),
            "clock.now" => Ok(Ok(self.time())),
            "clock.advance" => {
                self.clock.advance(args.number("ms"));
                Ok(Ok(self.time()))
            }
            "output" => {
                self.printed(args.body().len() as u64)?;
                Ok(Ok(Reply::Nothing))
            }
            "crypto.random" => {
                let mut bytes = vec![0; args.number("size").min(1 << 20) as usize];
                self.fill(&mut bytes);
                Ok(Ok(Reply::Bytes(bytes.into())))
            }
            "url.parse" | "text.decode" | "zlib" => Ok(self.convert(op, args)),
            _ if op.starts_with("crypto.") => Ok(self.convert(op, args)),
            _ => {
                self.record(What::Unsupported { what: op.to_owned() }, origin)?;
                Ok(Err(Fault::new(
                    "ERR_METHOD_NOT_IMPLEMENTED",
                    format!("{op} is not implemented"),
                )))
            }
        }
    }

    /// Adds an event.
    ///
    /// # Errors
    /// When there are too many.
    pub fn record(&mut self, what: What, origin: Origin) -> Result<(), Spent> {
        self.log.record(self.clock.passed(), origin, what)
    }

    /// Counts printed bytes.
    ///
    /// # Errors
    /// When there are too many.
    pub fn printed(&mut self, bytes: u64) -> Result<(), Spent> {
        match self.log.print(bytes)? {
            Some(bytes) => self.record(What::Output { bytes }, Origin::default()),
            None => Ok(()),
        }
    }

    /// Nanoseconds since 1970, or since the machine started.
    pub fn read_clock(&mut self, of_the_day: bool) -> u64 {
        self.clock.read(of_the_day)
    }

    /// Seconds east of Greenwich.
    #[must_use]
    pub const fn utc_offset(&self) -> i32 {
        self.conditions.machine.utc_offset
    }

    /// Bytes by chance.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        match self.conditions.chance {
            Chance::Seed(_) => self.chance.fill(bytes),
            Chance::Lowest => bytes.fill(0),
            Chance::Highest => bytes.fill(0xff),
        }
    }

    /// What an `import` or a `require` means.
    ///
    /// # Errors
    /// When a budget is spent; inside, when it means nothing.
    pub fn resolve(
        &mut self,
        from: &str,
        name: &str,
        import: bool,
    ) -> Result<Result<Resolved, Fault>, Spent> {
        let resolver = Resolver::new(&self.files, import);
        let found = resolver.resolve(from, name);
        self.work += resolver.parsed() * price::MANIFEST;
        // The places of packages are no news; builtins and what is missing are.
        let told = match &found {
            Ok(resolved) => resolved.format == Format::Builtin,
            Err(_) => true,
        };
        if let (true, Some(file)) = (told, from.strip_prefix(USER_DIR)) {
            // Whose loader asks is known without looking at the stack.
            let origin = Origin {
                site: Some(Site {
                    file: file.trim_start_matches('/').to_owned(),
                    line: 0,
                }),
                callers: Vec::new(),
            };
            self.record(
                What::Require {
                    name: name.to_owned(),
                    found: found.is_ok(),
                    computed: false,
                },
                origin,
            )?;
        }
        Ok(found)
    }

    /// The text to run of a file, which counts as loaded from now on.
    pub fn source(&mut self, path: &str) -> Option<Bytes> {
        let content = self.files.read(path).ok()?;
        if let Some(below) = path.strip_prefix(USER_DIR) {
            let below = below.trim_start_matches('/');
            if self.loaded.insert(below.to_owned()) {
                self.log.loaded.push(below.to_owned());
            }
        }
        Some(content)
    }

    /// What was seen, when all is over.
    #[must_use]
    pub fn into_trace(self, end: End, fuel: u64, memory: u64) -> Trace {
        Trace {
            run: self.conditions.run,
            events: self.log.events,
            end,
            fuel,
            memory,
            loaded: self.log.loaded,
            covered: Vec::new(),
        }
    }

    /// The folder of the package that a path below the user directory belongs to.
    fn folder_of(&self, file: &str) -> Option<String> {
        let start = file.rfind("node_modules/")? + "node_modules/".len();
        let scoped = usize::from(file[start..].starts_with('@'));
        let (at, _) = file[start..].match_indices('/').nth(scoped)?;
        Some(format!("{USER_DIR}/{}", &file[..start + at]))
    }

    fn payload(&mut self, bytes: &[u8]) -> Payload {
        self.payload_with(bytes, bytes)
    }

    /// Bytes that leave the guest; planted secrets are looked for in more than these, for instance in what was sent before.
    fn payload_with(&mut self, bytes: &[u8], searched: &[u8]) -> Payload {
        let found = self.secrets.find(searched);
        self.work += found.searched * price::SEARCHED;
        let shown: String = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN * 4)])
            .chars()
            .map(|c| {
                if c.is_control() && c != '\n' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .take(SHOWN)
            .collect();
        Payload {
            bytes: bytes.len() as u64,
            digest: hex(&Sha256::digest(bytes)),
            shown,
            secrets: found.secrets,
            remote: found.remote,
        }
    }

    fn convert(&mut self, op: &str, args: &Args<'_>) -> Result<Reply, Fault> {
        if op.starts_with("crypto.") {
            self.work += crypto::price(op, args);
            return crypto::convert(op, args);
        }
        let done = codec::convert(op, args);
        let given = match &done {
            Ok(Reply::Bytes(bytes)) => Some(bytes.len()),
            Ok(_) => Some(0),
            Err(_) => None,
        };
        self.work += codec::price(op, args, given);
        done
    }

    fn module_resolve(&mut self, args: &Args<'_>) -> Answer {
        let found = self.resolve(args.text("from"), args.text("name"), args.flag("import"))?;
        Ok(found.map(|resolved| json!({ "path": resolved.path, "format": resolved.format.name() }).into()))
    }

    fn module_source(&mut self, args: &Args<'_>) -> Answer {
        let path = args.text("path");
        let source = self.source(path);
        Ok(source
            .map(|source| Reply::Text(String::from_utf8_lossy(&source).into_owned()))
            .ok_or_else(|| Fault::new("MODULE_NOT_FOUND", format!("Cannot find module '{path}'"))))
    }

    fn time(&self) -> Reply {
        json!({ "ms": self.clock.now(), "run_ms": self.clock.passed() }).into()
    }
}
