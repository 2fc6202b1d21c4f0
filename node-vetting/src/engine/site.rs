//! Who calls, as the engine's own stack says it: guest code can neither forge nor hide a frame.
//!
//! Files come from the engine's frames. The line comes from a stack trace that is cut to end at the very frame: the
//! names of functions in it are the guest's and may contain anything, but the end of its last line is the engine's.
//! The guest's own formatter of traces is out of the way meanwhile, so that nothing of it runs.

use std::sync::Arc;

use crate::engine::vm::Vm;
use crate::trace::{Origin, Site};
use crate::world::USER_DIR;

/// Frames without a script in a row after which the stack is taken to have ended. Native functions have none, and
/// the engine does not say where its stack ends.
const NATIVE_IN_A_ROW: u32 = 48;
/// Frames that are looked at.
const DEEPEST: u32 = 512;
/// Most callers that are told.
const CALLERS: usize = 6;

impl Vm<'_> {
    /// The nearest place in a package, and the places in other packages that it was called from.
    pub(super) fn origin(&mut self) -> wasmtime::Result<Origin> {
        let mut origin = Origin::default();
        let mut package: Option<Arc<str>> = None;
        let mut natives = 0;
        for level in 0..DEEPEST {
            let Some(script) = self.script(level)? else {
                natives += 1;
                if natives > NATIVE_IN_A_ROW {
                    break;
                }
                continue;
            };
            natives = 0;
            let Some(file) = script else { continue };
            let within = package_of(&file);
            if package.as_deref() == Some(within) {
                continue;
            }
            package = Some(within.into());
            let site = Site {
                line: if origin.site.is_none() {
                    self.line(level, &file)?
                } else {
                    0
                },
                file: below_user_dir(&file).to_owned(),
            };
            if origin.site.is_none() {
                origin.site = Some(site);
            } else if origin.callers.len() < CALLERS {
                origin.callers.push(site);
            } else {
                break;
            }
        }
        Ok(origin)
    }

    /// The script of a frame: none for a native function or beyond the end, none inside for one of ours.
    #[expect(
        clippy::option_option,
        reason = "no script, and no package's script, are two things"
    )]
    fn script(&mut self, level: u32) -> wasmtime::Result<Option<Option<Arc<str>>>> {
        let exports = self.exports();
        let context = self.state().anchors.context;
        let atom = exports.script_name.call(&mut self.store, (context, level))?;
        if atom == 0 {
            return Ok(None);
        }
        if let Some(known) = self.state().scripts.get(&atom).cloned() {
            exports.free_atom.call(&mut self.store, (context, atom))?;
            return Ok(Some(known));
        }
        let at = exports.atom_text.call(&mut self.store, (context, 0, atom))?;
        let name = self.read_text(at)?;
        exports.free_text.call(&mut self.store, (context, at))?;
        let file = name.starts_with(USER_DIR).then(|| Arc::from(name));
        self.state().scripts.insert(atom, file.clone());
        Ok(Some(file))
    }

    /// The line at which a frame stands; 0 where the engine does not know.
    fn line(&mut self, level: u32, file: &str) -> wasmtime::Result<u32> {
        let anchors = self.state().anchors;
        let undefined = self.undefined()?;
        let nothing = self.read_u64(undefined)?;
        self.release(undefined)?;
        let kept = [self.read_u64(anchors.formatter)?, self.read_u64(anchors.frames)?];
        self.write(anchors.formatter, &nothing.to_le_bytes())?;
        self.write(anchors.frames, &u64::from(level + 1).to_le_bytes())?;
        let trace = self.trace(anchors.context)?;
        self.write(anchors.formatter, &kept[0].to_le_bytes())?;
        self.write(anchors.frames, &kept[1].to_le_bytes())?;
        Ok(line_in(&trace, file))
    }

    /// A trace from here, by the engine's own functions: those of the same names in the guest may be the guest's.
    fn trace(&mut self, context: u32) -> wasmtime::Result<String> {
        let exports = self.exports();
        let empty = self.put(b"")?;
        let error = exports
            .new_plain_error
            .call(&mut self.store, (context, empty, 0))?;
        self.free(empty)?;
        // A box for the value, as the engine's interface has them.
        let boxed = self.room(8)?;
        self.write(boxed, &error.to_le_bytes())?;
        let getter = self.state().anchors.trace;
        let trace = self.call_with(getter, boxed, &[])?;
        self.release(boxed)?;
        match trace {
            Ok(value) => {
                let text = if self.is_string(value)? {
                    self.text(value)?
                } else {
                    String::new()
                };
                self.release(value)?;
                Ok(text)
            }
            Err(_) => Ok(String::new()),
        }
    }
}

/// The line that the last frame of a trace tells, when that frame is in the file.
fn line_in(trace: &str, file: &str) -> u32 {
    let last = trace.trim_end().rsplit('\n').next().unwrap_or_default();
    let place = last.strip_suffix(')').unwrap_or(last);
    let number = |text: &str| text.parse::<u32>().ok();
    let Some((place, end)) = place.rsplit_once(':') else {
        return 0;
    };
    // With a column behind it or without.
    let (place, line) = match place.rsplit_once(':') {
        Some((before, line)) if number(line).is_some() => (before, number(line)),
        _ => (place, number(end)),
    };
    if place.ends_with(file) {
        line.unwrap_or(0)
    } else {
        0
    }
}

/// The folder of the package that a file belongs to.
fn package_of(file: &str) -> &str {
    let Some(start) = file.rfind("/node_modules/").map(|at| at + "/node_modules/".len()) else {
        return file;
    };
    let scoped = usize::from(file[start..].starts_with('@'));
    file[start..]
        .match_indices('/')
        .nth(scoped)
        .map_or(file, |(at, _)| &file[..start + at])
}

fn below_user_dir(file: &str) -> &str {
    file.strip_prefix(USER_DIR)
        .unwrap_or(file)
        .trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frame_tells_the_line() {
        let file = "/data/node_modules/a/b.js";
        let trace = "    at x (/data/node_modules/a/b.js:7:1)\n    at f (/data/node_modules/a/b.js:12:34)\n";
        assert_eq!(line_in(trace, file), 12);
        assert_eq!(line_in("    at f (/data/node_modules/a/b.js:12)", file), 12);
        assert_eq!(line_in("    at f (native)", file), 0);
        assert_eq!(line_in("    at (/data/node_modules/other.js:12:1)", file), 0);
        assert_eq!(line_in("", file), 0);
    }

    #[test]
    fn packages_of_files() {
        assert_eq!(package_of("/data/node_modules/a/b/c.js"), "/data/node_modules/a");
        assert_eq!(
            package_of("/data/node_modules/a/node_modules/@s/b/c.js"),
            "/data/node_modules/a/node_modules/@s/b"
        );
    }
}
