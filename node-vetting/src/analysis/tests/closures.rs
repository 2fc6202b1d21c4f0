//! Whole closures: what only shows when files and packages are seen together.

use std::collections::BTreeMap;

use npm::{Algorithm, Hasher};

use super::*;

fn closure(files: &[(&str, &str)], others: &[(&str, &[(&str, &str)])]) -> Closure {
    let package = |files: &[(&str, &str)]| {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Bytes::from((*text).to_owned())));
        let files: BTreeMap<String, Bytes> = files.collect();
        let mut hasher = Hasher::new(Algorithm::Sha512);
        for content in files.values() {
            hasher.update(content);
        }
        Package::from_files(files, hasher.finish()).expect("a package")
    };
    let others = others
        .iter()
        .map(|(place, files)| ((*place).to_owned(), Arc::new(package(files))))
        .collect();
    Closure::new(package(files), others)
}

#[test]
fn a_closure_is_looked_at_as_a_whole() {
    let closure = closure(
        &[
            (
                "package.json",
                "{\"name\": \"node-red-contrib-mine\", \"version\": \"1.0.0\", \"license\": \"MIT\", \"repository\": \"x/y\",\n\
                 \"dependencies\": {\"used\": \"1\", \"unused\": \"1\", \"spoken\": \"1\"},\n\
                 \"node-red\": {\"nodes\": {\"mine\": \"nodes/mine.js\"}}}",
            ),
            (
                "nodes/mine.js",
                "const u = require('used/lib/deep');\nconst plugin = 'spoken';\nrequire('undeclared');\n\
                 module.exports = function (RED) {\n  RED.nodes.registerType('mine', N);\n  require('./help')\n}",
            ),
            ("nodes/help.js", "process.exit(1)"),
            (
                "nodes/mine.html",
                "<script type=\"text/html\"></script>\n<script>\nfetch('https://x.example/')\n</script>",
            ),
            ("test/never.js", "process.abort()"),
        ],
        &[
            (
                "node_modules/used",
                &[
                    ("package.json", "{\"name\": \"used\", \"version\": \"1.0.0\"}"),
                    ("lib/deep.js", "eval(x)"),
                ],
            ),
            (
                "node_modules/unused",
                &[(
                    "package.json",
                    "{\"name\": \"unused\", \"version\": \"1.0.0\", \"scripts\": {\"postinstall\": \"node x.js\"}}",
                )],
            ),
        ],
    );
    let found = analyse(&closure, &BTreeMap::new());
    let sites: Vec<String> = found
        .sites
        .iter()
        .map(|said| {
            format!(
                "{}:{} {} {}",
                said.site.file, said.site.line, said.capability, said.reached
            )
        })
        .collect();
    assert_eq!(
        sites,
        [
            "node_modules/node-red-contrib-mine/nodes/help.js:1 proc.exit true",
            "node_modules/node-red-contrib-mine/nodes/mine.html:3 ed.network{x.example} true",
            "node_modules/node-red-contrib-mine/test/never.js:1 proc.exit false",
            "node_modules/unused/package.json:1 code.install-script{postinstall} true",
            "node_modules/used/lib/deep.js:1 code.eval{computed} true",
        ]
    );
    let of_root: Vec<String> = found
        .findings
        .iter()
        .filter(|finding| finding.package.starts_with("node-red-contrib-mine@"))
        .map(|finding| {
            format!(
                "{}:{} {}",
                finding.site.file.rsplit('/').next().unwrap_or_default(),
                finding.site.line,
                brief(&finding.about)
            )
        })
        .filter(|one| !one.contains("Licence"))
        .collect();
    assert_eq!(
        of_root,
        [
            "mine.html:3 host x.example -",
            "mine.js:3 Undeclared { dependency: \"undeclared\" }",
            "package.json:2 Phantom { dependency: \"unused\", script: true }",
        ]
    );
    assert_eq!(found.nodes[0].types, ["mine"]);
    assert_eq!(
        found.nodes[0].editor.as_deref(),
        Some("node_modules/node-red-contrib-mine/nodes/mine.html")
    );
    assert_eq!(found.measured.packages, 3);
    assert_eq!(
        found,
        analyse(&closure, &BTreeMap::new()),
        "the same bytes, the same findings"
    );
    let text = serde_json::to_string(&found).expect("it is written");
    assert_eq!(
        serde_json::from_str::<Findings>(&text).expect("it is read back"),
        found
    );
}
