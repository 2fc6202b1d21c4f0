//! What ES modules need: to be told from scripts, and exports of what was imported in the form that the engine understands.
//!
//! `import { a } from 'x'; export { a };` exports the binding of `x` itself. The engine takes it for a binding of the
//! module's own, and then two ways to the same thing are an ambiguity. `export { a } from 'x';` says the same, and it
//! understands that.

use std::collections::HashMap;

use oxc_ast::ast::{
    ExportNamedDeclaration, ImportDeclaration, ImportDeclarationSpecifier, ModuleExportName, Program,
    Statement,
};
use oxc_span::{GetSpan, SourceType};

use super::with_program;

/// Whether a text without a type is an ES module: Node.js takes it for one when only a module can be written so.
#[must_use]
pub fn is_module(source: &[u8]) -> bool {
    // Parsing costs more than everything else here, and few scripts have such a line.
    let begins = |line: &[u8]| {
        let line = line.trim_ascii_start();
        line.starts_with(b"import") || line.starts_with(b"export")
    };
    let minified = |word: &[u8]| memchr::memmem::find(source, word).is_some();
    if !source.split(|byte| *byte == b'\n').any(begins) && !minified(b";export") && !minified(b"}export") {
        return false;
    }
    let Ok(text) = std::str::from_utf8(source) else {
        return false;
    };
    with_program(text, SourceType::unambiguous(), |program| {
        program.source_type.is_module()
    }) == Some(true)
}

/// Rewrites the text of an ES module; none when there is nothing to rewrite, or the text cannot be read.
#[must_use]
pub fn exports(source: &[u8]) -> Option<Vec<u8>> {
    // Parsing costs more than everything else here.
    memchr::memmem::find(source, b"import")?;
    let lists = memchr::memmem::find_iter(source, b"export").any(|at| {
        let rest = source[at + 6..].trim_ascii_start();
        rest.first() == Some(&b'{')
    });
    if !lists {
        return None;
    }
    let text = std::str::from_utf8(source).ok()?;
    let edits = with_program(text, SourceType::mjs(), |program| edits(program, text))?;
    if edits.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(source.len() + 64 * edits.len());
    let mut from = 0;
    for (start, end, new) in edits {
        out.extend_from_slice(&source[from..start]);
        out.extend_from_slice(new.as_bytes());
        // No line moves.
        out.extend(source[start..end].iter().filter(|byte| **byte == b'\n'));
        from = end;
    }
    out.extend_from_slice(&source[from..]);
    Some(out)
}

/// What local names stand for: the name in the other module, and the words that name that module.
type Imported<'a> = HashMap<&'a str, (String, String)>;

/// Statements to replace: where they start and end, and by what.
fn edits(program: &Program<'_>, text: &str) -> Vec<(usize, usize, String)> {
    let mut imported = HashMap::new();
    for statement in &program.body {
        if let Statement::ImportDeclaration(import) = statement {
            names(import, text, &mut imported);
        }
    }
    let statements = program.body.iter().filter_map(|statement| match statement {
        Statement::ExportNamedDeclaration(export) => {
            let span = export.span;
            Some((
                span.start as usize,
                span.end as usize,
                indirect(export, text, &imported)?,
            ))
        }
        _ => None,
    });
    statements.collect()
}

fn names<'a>(import: &'a ImportDeclaration<'_>, text: &str, into: &mut Imported<'a>) {
    // From the name of the module on: attributes belong to it.
    let rest = &text[import.source.span.start as usize..import.span.end as usize];
    let module = rest.trim_end_matches(';').to_owned();
    for specifier in import.specifiers.iter().flatten() {
        let (local, name) = match specifier {
            ImportDeclarationSpecifier::ImportSpecifier(one) => (&one.local, written(&one.imported, text)),
            ImportDeclarationSpecifier::ImportDefaultSpecifier(one) => (&one.local, "default"),
            ImportDeclarationSpecifier::ImportNamespaceSpecifier(one) => (&one.local, "*"),
        };
        into.insert(local.name.as_str(), (name.to_owned(), module.clone()));
    }
}

fn written<'t>(name: &ModuleExportName<'_>, text: &'t str) -> &'t str {
    let span = name.span();
    &text[span.start as usize..span.end as usize]
}

/// A list of exports with what was imported taken from where it comes from; none when nothing in it was.
fn indirect(export: &ExportNamedDeclaration<'_>, text: &str, imported: &Imported<'_>) -> Option<String> {
    let (mut own, mut others) = (Vec::new(), String::new());
    for specifier in &export.specifiers {
        let (local, exported) = (
            written(&specifier.local, text),
            written(&specifier.exported, text),
        );
        match imported.get(local) {
            Some((name, module)) if name == "*" => {
                others.push_str(&format!("export * as {exported} from {module};"));
            }
            Some((name, module)) => {
                others.push_str(&format!("export {{ {name} as {exported} }} from {module};"));
            }
            None => own.push(format!("{local} as {exported}")),
        }
    }
    (!others.is_empty()).then(|| format!("export {{ {} }};{others}", own.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: Option<&str>) {
        let told = exports(source.as_bytes()).map(|text| String::from_utf8(text).expect("text"));
        assert_eq!(told.as_deref(), expected);
    }

    #[test]
    fn what_was_imported_is_exported_from_where_it_comes_from() {
        check(
            "import { a, b as c } from 'x';\nimport d from \"y\" with { type: 'json' };\nconst e = 1;\nexport {\n a, c as f, d, e };\nc();",
            Some(
                "import { a, b as c } from 'x';\nimport d from \"y\" with { type: 'json' };\nconst e = 1;\nexport { e as e };\
                 export { a as a } from 'x';export { b as f } from 'x';export { default as d } from \"y\" with { type: 'json' };\n\nc();",
            ),
        );
        check(
            "export { n }; import * as n from 'x'",
            Some("export {  };export * as n from 'x'; import * as n from 'x'"),
        );
    }

    #[test]
    fn modules_are_told_from_scripts() {
        for text in ["import a from 'x';", "a();\n  export { a };", "var a;export{a};"] {
            assert!(is_module(text.as_bytes()), "{text}");
        }
        for text in [
            "const a = `\nexport default 1;`;",
            "/*\nimport a from 'x'\n*/",
            "import('x');",
            "exports.a = 1;",
            "export default",
        ] {
            assert!(!is_module(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        check("import { a } from 'x'; export const b = a;", None);
        check(
            "import { a } from 'x'; export { b } from 'y'; export { c }; const c = a;",
            None,
        );
        check("import { a from 'x'; export { a };", None);
    }
}
