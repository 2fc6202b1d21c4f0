//! Files that are no text: machine code and WebAssembly, told by their first bytes and not by their names.

use sha2::{Digest, Sha256};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

use super::finding::About;
use crate::closure::hex;

/// Most imports or exports of one module that are told.
const MAX_LISTED: usize = 2000;

/// What a file is that the system or the engine would execute; nothing for all others.
pub(crate) fn executable(bytes: &[u8]) -> Option<About> {
    if bytes.starts_with(b"\0asm") {
        return Some(wasm(bytes));
    }
    let (format, os, cpu) = kind(bytes)?;
    Some(About::NativeFile {
        format: format.to_owned(),
        os: os.to_owned(),
        cpu,
        sha256: hex(&Sha256::digest(bytes)),
    })
}

fn kind(bytes: &[u8]) -> Option<(&'static str, &'static str, String)> {
    let word = |at: usize, big: bool| -> Option<u16> {
        let pair = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if big {
            u16::from_be_bytes(pair)
        } else {
            u16::from_le_bytes(pair)
        })
    };
    let long =
        |at: usize| -> Option<u32> { Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    match bytes.get(..4)? {
        b"\x7fELF" => {
            let cpu = match word(18, bytes.get(5) == Some(&2))? {
                3 => "ia32",
                8 => "mips",
                21 => "ppc64",
                22 => "s390x",
                40 => "arm",
                62 => "x64",
                183 => "arm64",
                243 => "riscv64",
                258 => "loong64",
                _ => "unknown",
            };
            Some(("elf", "linux", cpu.to_owned()))
        }
        [0xcf, 0xfa, 0xed, 0xfe] | [0xce, 0xfa, 0xed, 0xfe] => {
            let cpu = match long(4)? {
                0x0100_0007 => "x64",
                0x0100_000c => "arm64",
                7 => "ia32",
                12 => "arm",
                _ => "unknown",
            };
            Some(("mach-o", "darwin", cpu.to_owned()))
        }
        // The same four bytes begin compiled Java; there the next ones are a version above 40.
        [0xca, 0xfe, 0xba, 0xbe] if bytes.get(4..8)?[..3] == [0, 0, 0] && bytes[7] < 20 => {
            Some(("mach-o", "darwin", "universal".to_owned()))
        }
        [b'M', b'Z', ..] => {
            let header = long(0x3c)? as usize;
            if bytes.get(header..header + 4)? != b"PE\0\0" {
                return None;
            }
            let cpu = match word(header + 4, false)? {
                0x14c => "ia32",
                0x8664 => "x64",
                0xaa64 => "arm64",
                0x1c0 | 0x1c4 => "arm",
                _ => "unknown",
            };
            Some(("pe", "win32", cpu.to_owned()))
        }
        _ => None,
    }
}

fn wasm(bytes: &[u8]) -> About {
    let (mut imports, mut exports, mut damaged) = (Vec::new(), Vec::new(), None);
    for payload in Parser::new(0).parse_all(bytes) {
        let read = payload.and_then(|payload| {
            match payload {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        if imports.len() < MAX_LISTED {
                            let kind = match import.ty {
                                TypeRef::Func(_) | TypeRef::FuncExact(_) => "",
                                TypeRef::Memory(_) => " (memory)",
                                TypeRef::Table(_) => " (table)",
                                TypeRef::Global(_) => " (global)",
                                TypeRef::Tag(_) => " (tag)",
                            };
                            imports.push(format!("{}.{}{kind}", import.module, import.name));
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func && exports.len() < MAX_LISTED {
                            exports.push(export.name.to_owned());
                        }
                    }
                }
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = read {
            damaged = Some(error.message().to_owned());
            break;
        }
    }
    imports.sort();
    exports.sort();
    About::Wasm {
        bytes: bytes.len(),
        sha256: hex(&Sha256::digest(bytes)),
        imports,
        exports,
        damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Option<String> {
        executable(bytes).map(|about| match about {
            About::NativeFile { format, os, cpu, .. } => format!("{format} {os} {cpu}"),
            About::Wasm {
                imports,
                exports,
                damaged,
                ..
            } => {
                format!("wasm {imports:?} {exports:?} {}", damaged.is_some())
            }
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn machine_code_is_told_by_its_bytes() {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 183;
        assert_eq!(told(&elf).as_deref(), Some("elf linux arm64"));
        let mut pe = vec![0; 128];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 64;
        pe[64..70].copy_from_slice(b"PE\0\0\x64\x86");
        assert_eq!(told(&pe).as_deref(), Some("pe win32 x64"));
        assert_eq!(
            told(b"\xcf\xfa\xed\xfe\x0c\0\0\x01").as_deref(),
            Some("mach-o darwin arm64")
        );
        for innocent in [
            &b"MZ is how this text begins"[..],
            b"#!/bin/sh",
            b"",
            b"\xca\xfe\xba\xbe\0\0\0\x34",
        ] {
            assert_eq!(told(innocent), None);
        }
    }

    #[test]
    fn modules_tell_what_they_need() {
        use wasm_encoder::{EntityType, ExportKind, ExportSection, ImportSection, Module, TypeSection};
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        imports.import("env", "system", EntityType::Function(0));
        let mut exports = ExportSection::new();
        exports.export("run", ExportKind::Func, 0);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&exports);
        let bytes = module.finish();
        assert_eq!(
            told(&bytes).as_deref(),
            Some("wasm [\"env.system\"] [\"run\"] false")
        );
        assert_eq!(
            told(&bytes[..bytes.len() - 3]).as_deref(),
            Some("wasm [\"env.system\"] [] true")
        );
    }
}
