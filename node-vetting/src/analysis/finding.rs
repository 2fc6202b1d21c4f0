//! What the static half finds, as plain data. Nothing in here says whether it is good or bad.

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::trace::Site;

/// Everything that was found in a closure. The same bytes give the same findings, in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Places in code that could do something to the world.
    pub sites: Vec<Said>,
    /// Everything else.
    pub findings: Vec<Finding>,
    /// Node types of the package in question, by the files that register them.
    pub nodes: Vec<NodeFile>,
    /// What was looked at.
    pub measured: Measured,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Packages.
    pub packages: usize,
    /// Files of all kinds.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files with code that were parsed.
    pub parsed: usize,
    /// Bytes of them.
    pub parsed_bytes: u64,
    /// Files with code that could not be parsed; each has a finding.
    pub unparsable: usize,
}

/// Which half of a node code belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// It runs in Node.js.
    #[default]
    Runtime,
    /// It runs in the browser of whoever opens the editor.
    Editor,
    /// It is markup or code for some other page.
    Page,
}

/// A place in code that could do something to the world.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Said {
    /// `name@version`.
    pub package: String,
    /// Where.
    pub site: Site,
    /// What could be done.
    pub capability: Capability,
    /// By what: `child_process.exec`.
    pub via: String,
    /// Byte offset of the place in its file.
    pub offset: u32,
    /// Byte offset of the start of the innermost function around it; 0 where there is none.
    pub function: u32,
    /// Which half.
    pub half: Half,
    /// Whether the file can be loaded from an entry of the package by names that stand in the code. Code that
    /// cannot may be loaded all the same, by a name that is computed.
    pub reached: bool,
}

/// Something worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// `name@version`.
    pub package: String,
    /// Where; what concerns the whole package stands in its `package.json`.
    pub site: Site,
    /// As for [`Said::reached`]; true for what is not code.
    pub reached: bool,
    /// What.
    pub about: About,
}

/// A file that Node-RED loads for its nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeFile {
    /// Its name in `package.json`.
    pub name: String,
    /// Path below the user directory.
    pub file: String,
    /// Path of the editor half, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editor: Option<String>,
    /// Whether it is a plugin of the editor or runtime, not a set of nodes.
    pub plugin: bool,
    /// Types that it registers under names that stand in the code.
    pub types: Vec<String>,
}

/// What is done with a package in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// Its files are read.
    Reading,
    /// It is run.
    Exercising,
}

/// One part of a command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the fields are parts of the command that the variants name"
)]
pub enum Step {
    /// Runs a file with Node.js: worth running in the sandbox.
    Node { file: String, arguments: Vec<String> },
    /// Runs text with Node.js.
    NodeText { text: String },
    /// Builds or fetches machine code in a well-known way.
    NativeBuild { tool: String },
    /// Runs another script of the same package.
    Script { name: String },
    /// Does nothing to the world: `echo`, `true`, `exit 0`.
    Nothing,
    /// Anything else, with its words.
    Other { words: Vec<String> },
}

/// Kinds of findings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the fields are measured values that the variants name"
)]
pub enum About {
    /// A file with code could not be read as code.
    Unparsable { why: String },
    /// The package could not be looked at: it brought down the process that did.
    Broke {
        /// What was being done with it.
        #[serde(rename = "while")]
        doing: Doing,
        why: String,
    },
    /// A name of a module is put together from pieces.
    SplitName { module: String },
    /// An address stands in the code; `listed` says what the host is known for.
    Host {
        host: String,
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        listed: Option<String>,
        half: Half,
    },
    /// An IP address stands in the code; `scope` is `public`, `private`, `loopback`, `link-local` or `documentation`.
    Address { address: String, scope: String },
    /// A text that is on one of the lists of phrases: `list` says which, `entry` which line of it.
    Mentions {
        list: String,
        entry: String,
        said: String,
    },
    /// Characters that are not seen, or that change the direction of reading.
    HiddenCharacters {
        what: String,
        count: usize,
        longest: usize,
    },
    /// Code that is made not to be read. `how`: `hex-identifiers`, `string-rotator`, `charcode-table`,
    /// `hex-escapes`, `xor-decoder`, `packer`, `flattened`, `bracket-code`.
    Obfuscated { how: String, measure: usize },
    /// A long text that is not language. `decoder` when the same file decodes such texts; `content` is what its
    /// first bytes are.
    Blob {
        bytes: usize,
        alphabet: String,
        /// Bits per character, in hundredths.
        entropy: u32,
        decoder: bool,
        content: String,
    },
    /// A date is compared with one that stands in the code.
    DateGate { with: String },
    /// A random number is compared with one that stands in the code.
    ChanceGate { with: String },
    /// The name of the host, user or machine is compared with one that stands in the code.
    HostGate { what: String, with: String },
    /// Code that is written for machines; innocent by itself.
    Minified,
    /// A script that runs when the package is installed. `implicit`: npm adds it, because there is a `binding.gyp`.
    InstallScript {
        name: String,
        command: String,
        steps: Vec<Step>,
        implicit: bool,
    },
    /// A command that runs while `binding.gyp` is read.
    GypCommand { command: String },
    /// Machine code, or a file that the system executes.
    NativeFile {
        format: String,
        os: String,
        cpu: String,
        sha256: String,
    },
    /// A WebAssembly module.
    Wasm {
        bytes: usize,
        sha256: String,
        imports: Vec<String>,
        exports: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        damaged: Option<String>,
    },
    /// A command that is linked where others are found; `shadows` when a well-known one has its name.
    Command {
        name: String,
        file: String,
        shadows: bool,
    },
    /// A dependency that no code of the package uses; `script` when it runs something when it is installed.
    Phantom { dependency: String, script: bool },
    /// A package that code uses and the manifest does not name.
    Undeclared { dependency: String },
    /// The package names itself as a dependency.
    SelfDependency,
    /// A dependency that came inside the archive of another package.
    Carried { by: String, declared: bool },
    /// The registry says something else than the package itself.
    Mismatch {
        field: String,
        registry: String,
        archive: String,
    },
    /// The name is like that of a well-known package.
    LookAlike { of: String, how: String },
    /// The licence. `class`: `permissive`, `copyleft`, `other`, `in-file`, `unlicensed`, `unknown`, `missing`.
    Licence { expression: String, class: String },
    /// It does not say where its source is.
    NoRepository,
    /// Its registry says that it should not be used any more.
    Deprecated { why: String },
    /// How young it is, in RFC 3339, and how many versions came out within a day of it.
    Published {
        at: String,
        first: String,
        same_day: usize,
    },
    /// Somebody else published it than the version below it.
    PublisherChanged { from: String, to: String, since: String },
    /// The version below it told where it was built, and it does not.
    ProvenanceLost { since: String },
    /// The version below it ran nothing when it was installed, and it does.
    ScriptAppeared { since: String },
    /// The registry signs, and this is not signed, or wrongly.
    Unsigned { wrong: bool },
    /// Its only hash is a SHA-1.
    WeakHash,
    /// An example flow with nodes that run code or commands.
    ExampleFlow { functions: usize, commands: usize },
    /// Markup loads a script from elsewhere.
    ExternalScript { url: String },
    /// A known flaw.
    Advisory {
        id: String,
        severity: String,
        title: String,
        url: String,
    },
    /// An entry of `node-red` in the manifest names a file that is not there.
    MissingNodeFile { name: String, file: String },
}
