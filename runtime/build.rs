//! Compiles the syscall policies into filters that are embedded in the binary, in debug builds too.
//!
//! A policy is data with a reason on every rule; a rule without one does not build.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use seccompiler::{BpfProgram, TargetArch, sock_filter};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    /// The newest syscall that somebody looked at; later ones do not exist inside.
    reviewed_up_to: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    reason: String,
    answer: Answer,
    only_on: Option<String>,
    calls: Vec<String>,
    /// Where the keeper is asked what it may do, it is asked about this too, and refuses it, so that it is told of it. Only
    /// for what is judged by numbers: they stay what they were while it is asked.
    #[serde(default)]
    told: bool,
    /// Alternatives, each a list of conditions that must all hold; none: always.
    when: Option<Vec<Vec<Condition>>>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    #[serde(rename = "EPERM")]
    NotPermitted,
    #[serde(rename = "ENOSYS")]
    NoSuchCall,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    argument: u8,
    bits: u8,
    masked: Option<u64>,
    is: Option<u64>,
    is_not: Option<u64>,
}

impl Answer {
    fn errno(self) -> u32 {
        match self {
            Self::NotPermitted => EPERM,
            Self::NoSuchCall => ENOSYS,
        }
    }
}

/// Rules that all have the same answer: what a process of ours may do that needs little, or what the keeper is asked about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    rules: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    reason: String,
    calls: Vec<String>,
    /// Alternatives, each a list of conditions that must all hold; none: always.
    when: Option<Vec<Vec<Condition>>>,
}

/// Whether a rule is about this architecture: some calls exist only on one.
fn applies(rule: &Rule, arch: &str) -> bool {
    rule.only_on.as_deref().is_none_or(|only| only == arch)
}

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=policies");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH")?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("policies.rs");
    let policy: Policy = serde_json::from_str(&std::fs::read_to_string("policies/node.json")?)?;
    let target: TargetArch = arch.as_str().try_into()?;
    let mut text = String::new();
    write_filters(&mut text, "NODE", &compile(&policy, &arch, target, |_| true)?)?;
    let silent = compile(&policy, &arch, target, |rule| !rule.told)?;
    write_filters(&mut text, "NODE_WATCHED", &silent)?;
    let allowed: List = serde_json::from_str(&std::fs::read_to_string("policies/vet-worker.json")?)?;
    write_filters(&mut text, "VET_WORKER", &[compile_allowed(&allowed, target)?])?;
    let watched: List = serde_json::from_str(&std::fs::read_to_string("policies/watched.json")?)?;
    write_filters(
        &mut text,
        "WATCHED",
        &[compile_watched(&watched, &policy, target)?],
    )?;
    writeln!(text, "pub(super) const DENIED: &[Denied] = &[")?;
    for rule in &policy.rules {
        for syscall in rule.calls.iter().filter(|_| applies(rule, &arch)) {
            let number = number_of(syscall, target)?;
            let (errno, always) = (rule.answer.errno(), rule.when.is_none());
            writeln!(
                text,
                "    Denied {{ syscall: {syscall:?}, number: {number}, errno: {errno}, always: {always} }},"
            )?;
        }
    }
    writeln!(text, "];")?;
    std::fs::write(out, text)?;
    Ok(())
}

fn write_filters(text: &mut String, name: &str, filters: &[BpfProgram]) -> Result<(), Box<dyn Error>> {
    writeln!(
        text,
        "pub(super) const {name}: [&[sock_filter]; {}] = [",
        filters.len()
    )?;
    for filter in filters {
        writeln!(text, "    &[")?;
        for sock_filter { code, jt, jf, k } in filter {
            writeln!(
                text,
                "        sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},"
            )?;
        }
        writeln!(text, "    ],")?;
    }
    writeln!(text, "];")?;
    Ok(())
}

/// A filter under which only the calls of the list exist. The others answer `ENOSYS` and do not end the process, because
/// the C library asks for newer calls first: for `clone3` before `clone`.
fn compile_allowed(list: &List, target: TargetArch) -> Result<BpfProgram, Box<dyn Error>> {
    program(
        &listed(list)?,
        &json!("allow"),
        &json!({ "errno": ENOSYS }),
        target,
    )
}

/// A filter that asks whoever holds its listener about the calls of the list. The compiler has no word for that answer, so
/// that another one that nobody uses stands in for it.
fn compile_watched(list: &List, policy: &Policy, target: TargetArch) -> Result<BpfProgram, Box<dyn Error>> {
    const RETURN: u16 = 0x06;
    const TRACE: u32 = 0x7ff0_0000;
    const USER_NOTIFICATION: u32 = 0x7fc0_0000;
    let mut rules = listed(list)?;
    for rule in policy.rules.iter().filter(|rule| rule.told) {
        rules.extend(
            rule.calls
                .iter()
                .flat_map(|call| cases(call, rule.when.as_deref())),
        );
    }
    let mut filter = program(&rules, &json!({ "trace": 0 }), &json!("allow"), target)?;
    for instruction in &mut filter {
        if instruction.code == RETURN && instruction.k == TRACE {
            instruction.k = USER_NOTIFICATION;
        }
    }
    Ok(filter)
}

fn listed(list: &List) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut rules = Vec::new();
    for rule in &list.rules {
        if rule.reason.is_empty() {
            return Err(format!("a rule on {:?} gives no reason", rule.calls).into());
        }
        for syscall in &rule.calls {
            rules.extend(cases(syscall, rule.when.as_deref()));
        }
    }
    Ok(rules)
}

/// The rules for one syscall: one for each of its cases.
fn cases(syscall: &str, when: Option<&[Vec<Condition>]>) -> Vec<Value> {
    match when {
        None => vec![json!({ "syscall": syscall })],
        Some(cases) => cases
            .iter()
            .map(|case| json!({ "syscall": syscall, "args": conditions(case) }))
            .collect(),
    }
}

/// One filter per answer, because a filter of `seccompiler` has one; the first also bounds the syscall numbers.
fn compile(
    policy: &Policy,
    arch: &str,
    target: TargetArch,
    counts: impl Fn(&Rule) -> bool,
) -> Result<Vec<BpfProgram>, Box<dyn Error>> {
    let mut filters = Vec::new();
    for answer in [Answer::NotPermitted, Answer::NoSuchCall] {
        let mut rules = Vec::new();
        for rule in policy
            .rules
            .iter()
            .filter(|rule| rule.answer == answer && counts(rule))
        {
            if rule.reason.is_empty() {
                return Err(format!("a rule on {:?} gives no reason", rule.calls).into());
            }
            if !applies(rule, arch) {
                continue;
            }
            for syscall in &rule.calls {
                rules.extend(cases(syscall, rule.when.as_deref()));
            }
        }
        let errno = if answer == Answer::NotPermitted {
            EPERM
        } else {
            ENOSYS
        };
        filters.push(assemble(&rules, errno, target)?);
    }
    let newest = number_of(&policy.reviewed_up_to, target)?;
    if let Some(first) = filters.first_mut() {
        first.splice(0..0, bound(newest, arch));
    }
    Ok(filters)
}

fn conditions(case: &[Condition]) -> Vec<Value> {
    let one = |condition: &Condition| {
        let (op, value) = match (condition.masked, condition.is, condition.is_not) {
            (Some(mask), Some(value), None) => (json!({ "masked_eq": mask }), value),
            (None, Some(value), None) => (json!("eq"), value),
            (None, None, Some(value)) => (json!("ne"), value),
            _ => panic!("a condition has `is`, `is_not`, or `masked` and `is`"),
        };
        let width = if condition.bits == 64 { "qword" } else { "dword" };
        json!({ "index": condition.argument, "type": width, "op": op, "val": value })
    };
    case.iter().map(one).collect()
}

fn assemble(rules: &[Value], errno: u32, target: TargetArch) -> Result<BpfProgram, Box<dyn Error>> {
    program(rules, &json!({ "errno": errno }), &json!("allow"), target)
}

fn program(
    rules: &[Value],
    matching: &Value,
    others: &Value,
    target: TargetArch,
) -> Result<BpfProgram, Box<dyn Error>> {
    let text = json!({ "filter": {
        "mismatch_action": others,
        "match_action": matching,
        "filter": rules,
    }})
    .to_string();
    let mut programs: std::collections::HashMap<String, BpfProgram> =
        seccompiler::compile_from_json(text.as_bytes(), target)?;
    programs
        .remove("filter")
        .ok_or_else(|| "the compiler returned no filter".into())
}

/// The number of a syscall, read out of a filter on it: the library keeps its table to itself.
fn number_of(name: &str, target: TargetArch) -> Result<u32, Box<dyn Error>> {
    const JUMP_IF_EQUAL: u16 = 0x15;
    let program = assemble(&[json!({ "syscall": name })], EPERM, target)?;
    // The first comparison is on the architecture, the last on the number.
    let comparisons: BTreeMap<usize, u32> = program
        .iter()
        .enumerate()
        .filter(|(_, instruction)| instruction.code == JUMP_IF_EQUAL)
        .map(|(position, instruction)| (position, instruction.k))
        .collect();
    match comparisons.len() {
        2 => Ok(comparisons.into_values().next_back().unwrap_or_default()),
        other => Err(format!("{other} comparisons in a filter on {name}, not 2").into()),
    }
}

/// Numbers beyond `newest` do not exist, and the x32 interface, whose numbers have bit 30 set and would match no
/// rule, ends the process (`seccomp(2)`, "Architecture-specific caveats").
fn bound(newest: u32, arch: &str) -> Vec<sock_filter> {
    const LOAD: u16 = 0x20;
    const JUMP_IF_GREATER: u16 = 0x25;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const KILL_PROCESS: u32 = 0x8000_0000;
    const ERRNO: u32 = 0x0005_0000;
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let mut program = vec![instruction(LOAD, 0, 0, 0)];
    if arch == "x86_64" {
        program.push(instruction(JUMP_IF_AT_LEAST, 0, 1, 0x4000_0000));
        program.push(instruction(RETURN, 0, 0, KILL_PROCESS));
    }
    program.push(instruction(JUMP_IF_GREATER, 0, 1, newest));
    program.push(instruction(RETURN, 0, 0, ERRNO | ENOSYS));
    program
}
