//! Makes a module out of a prepared guest: its memory becomes the module's data, so that the next guest starts prepared.
//!
//! wasmtime maps such data privately, page by page: a thousand guests share one image until they write.

use thiserror::Error;
use wasm_encoder::{
    ConstExpr, DataCountSection, DataSection, ExportKind, ExportSection, GlobalSection, GlobalType,
    MemorySection, MemoryType, Module, RawSection, ValType,
};
use wasmparser::{DataKind, ExternalKind, Parser, Payload};

/// Zeros in a row that end a segment. Shorter runs cost less than another segment's header.
const GAP: usize = 64;
const PAGE: usize = 64 << 10;

/// A prepared guest, laid open.
pub(super) struct Prepared<'a> {
    pub(super) memory: &'a [u8],
    /// The value of the one global that changes: where the engine's stack ends.
    pub(super) stack_pointer: i32,
    /// Numbers that the baked module exports under names of their own.
    pub(super) exported: &'a [(&'a str, u32)],
}

/// Why a module cannot be baked. Each means that the engine is another one than was pinned.
#[derive(Debug, Error)]
pub enum BakeError {
    /// Not WebAssembly.
    #[error("it is no WebAssembly module: {0}")]
    Unreadable(#[from] wasmparser::BinaryReaderError),
    /// It has something that this does not know how to carry over.
    #[error("it has {0}, which an image cannot carry")]
    Unfit(&'static str),
}

/// The module with the guest's memory in place of its own data.
///
/// # Errors
/// When the module keeps state in more than one memory and one global.
pub(super) fn bake(module: &[u8], prepared: &Prepared<'_>) -> Result<Vec<u8>, BakeError> {
    let segments = segments(prepared.memory);
    let mut baked = Module::new();
    let mut globals = 0;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::MemorySection(_) => memory(&mut baked, prepared.memory.len()),
            Payload::GlobalSection(reader) => {
                globals = global(&mut baked, reader.clone(), prepared)?;
            }
            Payload::ExportSection(reader) => exports(&mut baked, reader.clone(), globals, prepared)?,
            Payload::DataCountSection { .. } => {
                baked.section(&DataCountSection {
                    count: segments.len() as u32,
                });
            }
            Payload::DataSection(reader) => {
                for data in reader.clone() {
                    if matches!(data?.kind, DataKind::Passive) {
                        return Err(BakeError::Unfit("data that it copies by itself"));
                    }
                }
                data(&mut baked, prepared.memory, &segments);
            }
            Payload::StartSection { .. } => return Err(BakeError::Unfit("a start function")),
            Payload::CustomSection(_) => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    baked.section(&RawSection {
                        id,
                        data: &module[range],
                    });
                }
            }
        }
    }
    Ok(baked.finish())
}

fn memory(baked: &mut Module, bytes: usize) {
    let mut section = MemorySection::new();
    section.memory(MemoryType {
        minimum: (bytes / PAGE) as u64,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    baked.section(&section);
}

/// The globals with their values of now, and the exported numbers behind them; gives how many were there.
fn global(
    baked: &mut Module,
    reader: wasmparser::GlobalSectionReader<'_>,
    prepared: &Prepared<'_>,
) -> Result<u32, BakeError> {
    let count = reader.count();
    let only = reader.into_iter().next().transpose()?;
    let one =
        only.is_some_and(|global| global.ty.mutable && global.ty.content_type == wasmparser::ValType::I32);
    if count != 1 || !one {
        return Err(BakeError::Unfit("more state than one stack pointer"));
    }
    let mut section = GlobalSection::new();
    let number = |mutable| GlobalType {
        val_type: ValType::I32,
        mutable,
        shared: false,
    };
    section.global(number(true), &ConstExpr::i32_const(prepared.stack_pointer));
    for (_, value) in prepared.exported {
        section.global(number(false), &ConstExpr::i32_const(value.cast_signed()));
    }
    baked.section(&section);
    Ok(count)
}

fn exports(
    baked: &mut Module,
    reader: wasmparser::ExportSectionReader<'_>,
    globals: u32,
    prepared: &Prepared<'_>,
) -> Result<(), BakeError> {
    let mut section = ExportSection::new();
    for export in reader {
        let export = export?;
        let kind = match export.kind {
            ExternalKind::Func => ExportKind::Func,
            ExternalKind::Table => ExportKind::Table,
            ExternalKind::Memory => ExportKind::Memory,
            ExternalKind::Global => ExportKind::Global,
            _ => return Err(BakeError::Unfit("an export of an unknown kind")),
        };
        section.export(export.name, kind, export.index);
    }
    for ((name, _), index) in prepared.exported.iter().zip(globals..) {
        section.export(name, ExportKind::Global, index);
    }
    baked.section(&section);
    Ok(())
}

fn data(baked: &mut Module, memory: &[u8], segments: &[(usize, usize)]) {
    let mut section = DataSection::new();
    for (start, end) in segments {
        section.active(
            0,
            &ConstExpr::i32_const((*start as u32).cast_signed()),
            memory[*start..*end].iter().copied(),
        );
    }
    baked.section(&section);
}

/// The ranges of memory that are not zero.
fn segments(memory: &[u8]) -> Vec<(usize, usize)> {
    let mut segments: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while let Some(skipped) = memory[at..].iter().position(|byte| *byte != 0) {
        let start = at + skipped;
        let len = memory[start..]
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(memory.len() - start);
        at = start + len;
        match segments.last_mut() {
            Some((_, end)) if start - *end < GAP => *end = at,
            _ => segments.push((start, at)),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out() {
        let mut memory = vec![0_u8; 1000];
        memory[3] = 1;
        memory[10] = 2;
        memory[500] = 3;
        memory[999] = 4;
        assert_eq!(segments(&memory), [(3, 11), (500, 501), (999, 1000)]);
        assert!(segments(&[0; 64]).is_empty());
        assert!(segments(&[]).is_empty());
    }
}
