//! What code could do to the world.

use super::*;

#[test]
fn programs_are_seen_under_every_name() {
    check_can(&[
        ("require('child_process').exec('ls -l')", &["proc.spawn{ls}"]),
        (
            "const cp = require('node:child_process'); cp.spawn('/bin/ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "const { exec: run } = require('child_process'); run(cmd)",
            &["proc.spawn{computed}"],
        ),
        (
            "const { exec } = require('child_process'); const go = exec; go('curl x | sh')",
            &["proc.spawn{shell}"],
        ),
        (
            "let e; e = require('child_process').execSync; e(`git ${x}`)",
            &["proc.spawn{git}"],
        ),
        (
            "var c = require('child_' + 'process'); c['ex' + 'ec']('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "const c = require('child_process'); c[m](x)",
            &["proc.spawn{computed}"],
        ),
        (
            "require('util').promisify(require('child_process').exec)('ls')",
            &["proc.spawn{ls}"],
        ),
        ("(0, require('child_process').exec)('ls')", &["proc.spawn{ls}"]),
        (
            "require('child_process').exec.call(null, 'ls')",
            &["proc.spawn{computed}"],
        ),
        (
            "process.mainModule.require('child_process').exec('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "process.getBuiltinModule('child_process').exec('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "process.binding('spawn_sync').spawn({})",
            &["proc.spawn{computed}"],
        ),
        (
            "var __toESM = f; var c = __toESM(require('child_process')); c.default.exec('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "global.process.mainModule.require('child_process').exec('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "module.exports = require('child_process')",
            &["proc.spawn{computed}"],
        ),
        (
            "exports.run = require('child_process').exec",
            &["proc.spawn{computed}"],
        ),
        (
            "const r = require('module').createRequire('/'); r('child_process').exec('ls')",
            &["proc.spawn{ls}"],
        ),
        ("import('child_process').then(c => c)", &[]),
        (
            "async function f() { (await import('child_process')).exec('ls') }",
            &["proc.spawn{ls}"],
        ),
        // Twins.
        ("/x/.exec('ls -l')", &[]),
        ("const db = require('./db'); db.exec('select 1')", &[]),
        ("function f(exec) { exec('ls') }", &[]),
        ("const cp = require('child_process')", &[]),
        ("const spawn = require('./spawn'); spawn('ls')", &[]),
    ]);
    let module = How {
        module: true,
        ..RUNTIME
    };
    for (source, expected) in [
        (
            "import { exec as x } from 'child_process'; x('ls')",
            "proc.spawn{ls}",
        ),
        (
            "import * as cp from 'node:child_process'; cp.exec('ls')",
            "proc.spawn{ls}",
        ),
        ("import cp from 'child_process'; cp.exec('ls')", "proc.spawn{ls}"),
    ] {
        assert_eq!(can_as(source, module), [expected], "{source}");
    }
}

#[test]
fn code_from_text_is_seen() {
    check_can(&[
        ("eval('1 + 1')", &["code.eval{literal}"]),
        ("eval(x)", &["code.eval{computed}"]),
        ("(0, eval)(x)", &["code.eval{computed}"]),
        ("const e = eval; e(x)", &["code.eval{computed}"]),
        ("globalThis['ev' + 'al'](x)", &["code.eval{computed}"]),
        ("new Function('a', b)()", &["code.eval{literal}"]),
        ("new Function(b)()", &["code.eval{computed}"]),
        ("[].constructor.constructor(x)()", &["code.eval{computed}"]),
        (
            "Object.getPrototypeOf(async function () {}).constructor(x)",
            &["code.eval{computed}"],
        ),
        ("setTimeout('x()', 1)", &["code.eval{literal}"]),
        ("require('vm').runInNewContext(x)", &["code.vm{computed}"]),
        ("new (require('vm').Script)('x')", &["code.vm{literal}"]),
        (
            "new module.constructor()._compile(x, '')",
            &["code.eval{computed}"],
        ),
        // Twins.
        ("Function('return this')()", &[]),
        ("setTimeout(() => x(), 1)", &[]),
        ("obj.eval(x)", &[]),
        ("this.constructor(x)", &[]),
        ("JSON.parse(x)", &[]),
    ]);
}

#[test]
fn modules_by_computed_names_are_seen() {
    check_can(&[
        ("require(x)", &["code.dynamic-require{computed}"]),
        ("require('./lib/' + x)", &["code.dynamic-require{own}"]),
        (
            "require(require('path').join(__dirname, x))",
            &["code.dynamic-require{own}"],
        ),
        ("import(x)", &["code.dynamic-require{computed}"]),
        ("const n = 'fs'; require(n)", &[]),
        ("require('./lib/a')", &[]),
    ]);
    check_says(&[
        ("require('child_' + 'process')", &["split child_process"]),
        ("require(['f', 's'].join(''))", &["split fs"]),
        (
            "require(Buffer.from('aHR0cHM=', 'base64').toString())",
            &["split https"],
        ),
        ("require(String.fromCharCode(102, 115))", &["split fs"]),
        ("require('fs')", &[]),
        ("require('./a' + '/b')", &[]),
        ("const name = 'fs'; require(name)", &[]),
    ]);
}

#[test]
fn the_environment_is_seen() {
    check_can(&[
        ("process.env.HOME", &["env.read{HOME}"]),
        ("const { TOKEN } = process.env", &["env.read{TOKEN}"]),
        ("const env = process.env; env.CI", &["env.read{CI}"]),
        ("process.env[x]", &["env.read{computed}"]),
        ("process['env']['A' + 'B']", &["env.read{AB}"]),
        ("JSON.stringify(process.env)", &["env.enumerate"]),
        ("Object.keys(process.env)", &["env.enumerate"]),
        ("for (const k in process.env) f(k)", &["env.enumerate"]),
        ("const all = { ...process.env }", &["env.enumerate"]),
        ("process.env.X = 1", &["env.write{X}"]),
        ("delete process.env.X", &["env.write{X}"]),
        (
            "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'",
            &["env.write{NODE_TLS_REJECT_UNAUTHORIZED}", "net.tls.insecure"],
        ),
        // Twins: what a child would have anyway, and somebody else's env.
        ("f({ env: process.env })", &[]),
        ("f({ env: { ...process.env, A: 1 } })", &[]),
        ("config.env.HOME", &[]),
    ]);
}

#[test]
fn files_have_classes() {
    check_can(&[
        ("require('fs').readFileSync('/etc/hosts')", &["fs.read{system}"]),
        (
            "const os = require('os'), path = require('path'); require('fs').readFile(path.join(os.homedir(), '.ssh', 'id_rsa'), f)",
            &["fs.read{secret}"],
        ),
        (
            "require('fs').readFileSync(process.env.HOME + '/.npmrc')",
            &["env.read{HOME}", "fs.read{secret}"],
        ),
        (
            "require('fs').promises.writeFile(__dirname + '/x', y)",
            &["fs.write{own}"],
        ),
        ("require('fs/promises').rm(x)", &["fs.delete{computed}"]),
        (
            "require('fs').appendFileSync(require('os').homedir() + '/.bashrc', x)",
            &["fs.write{startup}"],
        ),
        (
            "require('fs').writeFileSync(RED.settings.userDir + '/flows.json', '')",
            &["fs.write{flows}", "red.settings{userDir}"],
        ),
        ("require('fs').chmodSync(x, 0o755)", &["fs.exec-bit{computed}"]),
        ("require('fs').chmodSync(x, 0o644)", &["fs.write{computed}"]),
        ("require('fs').openSync(x, 'w')", &["fs.write{computed}"]),
        ("require('fs').openSync(x, 'r')", &["fs.read{computed}"]),
        (
            "require('fs-extra').remove('node_modules/x')",
            &["fs.delete{packages}"],
        ),
        ("require('fs').existsSync(x)", &[]),
        ("store.readFile(x)", &[]),
    ]);
}

#[test]
fn destinations_are_seen() {
    check_can(&[
        (
            "require('https').get('https://api.example.org/x')",
            &["net.connect{api.example.org}"],
        ),
        (
            "require('https').request({ hostname: 'h.example', path: '/' })",
            &["net.connect{h.example}"],
        ),
        (
            "const o = { host: 'h.example' }; require('http').request(o)",
            &["net.connect{h.example}"],
        ),
        (
            "require('https').get(`https://${config.host}/x`)",
            &["net.connect{computed}"],
        ),
        ("fetch('https://x.example/' + y)", &["net.connect{x.example}"]),
        (
            "const axios = require('axios'); axios.post(url, data)",
            &["net.connect{computed}"],
        ),
        (
            "const s = new (require('net').Socket)(); s.connect(1, 'h.example')",
            &["net.connect{computed}", "net.connect{h.example}"],
        ),
        (
            "require('dns').resolveTxt('x.example', f)",
            &["net.dns{x.example}"],
        ),
        ("require('dgram').createSocket('udp4')", &["net.udp{computed}"]),
        ("require('http').createServer(f)", &["net.listen"]),
        ("f({ rejectUnauthorized: false })", &["net.tls.insecure"]),
        // Twins.
        ("f({ rejectUnauthorized: node.verify })", &[]),
        ("cache.get('https://x.example')", &[]),
        ("client.request(options)", &[]),
    ]);
}

#[test]
fn the_process_and_the_machine() {
    check_can(&[
        ("process.exit(1)", &["proc.exit"]),
        ("process.kill(1)", &["proc.signal"]),
        ("process.setuid(0)", &["proc.uid"]),
        ("new (require('worker_threads').Worker)('x.js')", &["worker"]),
        ("require('os').hostname()", &["os.identity{host name}"]),
        ("setTimeout(f, 20 * 24 * 3600 * 1000)", &["time.long{20.0 days}"]),
        ("WebAssembly.instantiate(x)", &["code.wasm"]),
        ("process.dlopen(module, x)", &["code.native"]),
        // Twins.
        ("require('os').platform()", &[]),
        ("setTimeout(f, 60 * 1000)", &[]),
        ("process.on('exit', f)", &[]),
        ("node.exit()", &[]),
    ]);
}
