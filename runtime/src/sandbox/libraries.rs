//! Which shared libraries of the host the program needs, found by reading its ELF headers.
//!
//! Only those files are shown inside, one mount each, so that a Node.js from the store runs on any distribution
//! without showing the rest of `/usr`. Most are found in the folders that the dynamic loader searches by default
//! (`ld.so(8)`); for the rest the loader itself is asked, which takes a few milliseconds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use elf::ElfStream;
use elf::endian::AnyEndian;

use crate::error::{During, StepError};
use crate::spec::{Access, InstanceSpec, Mount};

const STEP: &str = "find the libraries of the program";
/// Longest name of a library or of the loader: `PATH_MAX`.
const LONGEST_NAME: usize = 4096;

/// What one ELF file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    /// The dynamic loader; none in a static program and in a library.
    loader: Option<PathBuf>,
    libraries: Vec<String>,
}

/// The mounts for the loader and the libraries of the program, without those that the spec shows already.
///
/// A program that is no ELF file (a script) or is linked statically needs none.
///
/// # Errors
/// When a library that the program names is not on this host, by its name.
pub(crate) fn mounts(spec: &InstanceSpec) -> Result<Vec<Mount>, StepError> {
    let Some(program) = outside(spec, &spec.program.path) else {
        return Ok(Vec::new());
    };
    let needs = match read(&program) {
        Ok(needs) => needs,
        // Its execution will fail, with a better word than ours.
        Err(error) if [io::ErrorKind::InvalidData, io::ErrorKind::NotFound].contains(&error.kind()) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error).during_on(STEP, &program),
    };
    let Some(loader) = needs.loader.clone() else {
        return Ok(Vec::new());
    };
    let real_loader = std::fs::canonicalize(&loader).during_on(STEP, &loader)?;
    let home = real_loader
        .parent()
        .map_or_else(|| PathBuf::from("/lib"), Path::to_owned);
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut wanted = needs.libraries;
    while let Some(name) = wanted.pop() {
        if found.contains_key(&name) || loader.ends_with(&name) {
            continue;
        }
        let path = match search(&home, &name) {
            Some(path) => path,
            None => ask(&real_loader, &program, &name).during_on(STEP, Path::new(&name))?,
        };
        wanted.extend(read(&path).during_on(STEP, &path)?.libraries);
        found.insert(name, path);
    }
    // The loader's own folder is among those it searches by default, whatever the distribution calls it.
    let mut mounts: Vec<Mount> = found
        .into_iter()
        .map(|(name, source)| show(source, home.join(name)))
        .collect();
    mounts.push(show(real_loader, loader));
    mounts.retain(|mount| outside(spec, &mount.target).is_none());
    Ok(mounts)
}

fn show(source: PathBuf, target: PathBuf) -> Mount {
    Mount {
        source,
        target,
        access: Access::ReadOnly,
        optional: false,
    }
}

/// Where an inside path is on the host, when a mount of the spec shows it, directly or through a link of the spec.
pub(crate) fn outside(spec: &InstanceSpec, inside: &Path) -> Option<PathBuf> {
    let linked = spec.links.iter().find_map(|(link, target)| {
        let rest = inside.strip_prefix(link).ok()?;
        Some(link.parent()?.join(target).join(rest))
    });
    let inside = linked.as_deref().unwrap_or(inside);
    spec.mounts
        .iter()
        .filter_map(|mount| Some((mount, inside.strip_prefix(&mount.target).ok()?)))
        .min_by_key(|(_, rest)| rest.components().count())
        .map(|(mount, rest)| {
            if rest.as_os_str().is_empty() {
                mount.source.clone()
            } else {
                mount.source.join(rest)
            }
        })
}

fn search(home: &Path, name: &str) -> Option<PathBuf> {
    let architecture = std::env::consts::ARCH;
    [
        home.to_owned(),
        PathBuf::from(format!("/usr/lib/{architecture}-linux-gnu")),
        PathBuf::from(format!("/lib/{architecture}-linux-gnu")),
        PathBuf::from("/usr/lib64"),
        PathBuf::from("/lib64"),
        PathBuf::from("/usr/lib"),
        PathBuf::from("/lib"),
    ]
    .into_iter()
    .find_map(|folder| std::fs::canonicalize(folder.join(name)).ok())
}

/// Asks the loader where it finds a library; it prints lines like `libx.so.1 => /path/libx.so.1 (0x...)`.
fn ask(loader: &Path, program: &Path, name: &str) -> io::Result<PathBuf> {
    let output = Command::new(loader)
        .arg("--list")
        .arg(program)
        .env_clear()
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.trim().split_once(" => "))
        .find(|(wanted, _)| *wanted == name)
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .filter(|path| path.starts_with('/'))
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "this host has no such library"))
}

fn read(path: &Path) -> io::Result<Needs> {
    let malformed = |error: elf::ParseError| match error {
        elf::ParseError::IOError(error) if error.kind() != io::ErrorKind::UnexpectedEof => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    };
    let mut elf = ElfStream::<AnyEndian, _>::open_stream(File::open(path)?).map_err(malformed)?;
    let file = File::open(path)?;
    let segments = elf.segments().clone();
    let at = |address: u64| {
        segments
            .iter()
            .filter(|segment| segment.p_type == elf::abi::PT_LOAD)
            .find_map(|segment| {
                let inside = address.checked_sub(segment.p_vaddr)?;
                (inside < segment.p_filesz).then(|| segment.p_offset.checked_add(inside))?
            })
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an address outside the file"))
    };
    let mut needs = Needs::default();
    if let Some(segment) = segments
        .iter()
        .find(|segment| segment.p_type == elf::abi::PT_INTERP)
    {
        needs.loader = Some(PathBuf::from(text_at(&file, segment.p_offset)?));
    }
    let mut names = Vec::new();
    let mut strings = None;
    for entry in elf
        .dynamic()
        .map_err(malformed)?
        .into_iter()
        .flat_map(|table| table.iter())
    {
        match entry.d_tag {
            elf::abi::DT_NEEDED => names.push(entry.d_val()),
            elf::abi::DT_STRTAB => strings = Some(entry.d_ptr()),
            _ => {}
        }
    }
    if let (Some(strings), false) = (strings, names.is_empty()) {
        let strings = at(strings)?;
        for name in names {
            let name = text_at(&file, strings.saturating_add(name))?;
            if name.contains('/') || name.is_empty() {
                return Err(io::Error::other(format!("it names a library by a path: {name}")));
            }
            needs.libraries.push(name);
        }
    }
    Ok(needs)
}

/// The text at `offset`, up to its closing zero.
fn text_at(file: &File, offset: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 128];
    while bytes.len() < LONGEST_NAME {
        let count = file.read_at(&mut buffer, offset.saturating_add(bytes.len() as u64))?;
        let (chunk, ended) = match buffer[..count].iter().position(|byte| *byte == 0) {
            Some(end) => (&buffer[..end], true),
            None => (&buffer[..count], count == 0),
        };
        bytes.extend_from_slice(chunk);
        if ended {
            break;
        }
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_names_its_loader_and_its_libraries() -> io::Result<()> {
        let own = read(&std::env::current_exe()?)?;
        assert!(own.loader.is_some_and(|loader| loader.is_absolute()));
        assert!(
            own.libraries.iter().any(|name| name.starts_with("libc.so")),
            "{:?}",
            own.libraries
        );
        let text = read(Path::new("Cargo.toml"));
        assert_eq!(
            text.map_err(|error| error.kind()),
            Err(io::ErrorKind::InvalidData)
        );
        Ok(())
    }
}
