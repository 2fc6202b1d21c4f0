//! Near misses: each uses rightly what an attack uses wrongly.

use crate::corpus::build::{Behaviour, Carrier, Stage};

const HERE: &[Carrier] = &[Carrier::Node];
const MESSAGE: &[Stage] = &[Stage::Message];
const CONSTRUCT: &[Stage] = &[Stage::Construct];
const REGISTER: &[Stage] = &[Stage::Register];

/// A twin: what is alike in all of them.
const TWIN: Behaviour = Behaviour {
    carriers: HERE,
    stages: MESSAGE,
    ..Behaviour::NONE
};

pub(super) const LIST: &[Behaviour] = &[
    Behaviour {
        id: "T01",
        title: "its credential goes to the configured host",
        defaults: "url: { value: '', required: true }",
        codes: &["fetch(config.url, { method: 'POST', headers: { authorization: 'Bearer ' + node.credentials.password },
             body: JSON.stringify(msg.payload) }).catch((e) => node.error(e, msg));"],
        ..TWIN
    },
    Behaviour {
        id: "T02",
        title: "the answer of the configured host is parsed, stored in a message and never run",
        defaults: "host: { value: 'server', required: true }, port: { value: 80 }",
        codes: &["require('http').get({ host: config.host, port: config.port, path: '/version.json' }, (r) => { let t = '';
             r.on('data', (c) => { t += c; }); r.on('end', () => { try { node.send({ payload: JSON.parse(t).version }); } catch (e) { node.warn(e.message); } }); }).on('error', (e) => node.error(e));"],
        ..TWIN
    },
    Behaviour {
        id: "T03",
        title: "figures that the user switched on go to an address that the user typed",
        stages: CONSTRUCT,
        defaults: "metrics: { value: false }, url: { value: '' }",
        codes: &["if (config.metrics && config.url) { const h = setInterval(() => { fetch(config.url, { method: 'POST',
             body: JSON.stringify({ up: process.uptime(), on: process.platform }) }).catch(() => {}); }, 60000); node.on('close', () => clearInterval(h)); }"],
        ..TWIN
    },
    Behaviour {
        id: "T04",
        title: "a date is only used for a text",
        codes: &["const now = new Date(); msg.stamp = now.getFullYear() > 2000 ? now.toISOString() : String(+now);
             msg.season = ['winter', 'spring', 'summer', 'autumn'][Math.floor(now.getMonth() / 3)];"],
        ..TWIN
    },
    Behaviour {
        id: "T05",
        title: "a native helper is used if it is there",
        stages: &[Stage::Load],
        codes: &["let fast; try { fast = require('bufferutil'); } catch (e) { fast = { mask: (b) => b }; } module.fast = fast;"],
        ..TWIN
    },
    Behaviour {
        id: "T06",
        title: "a route beside the editor with a permission tells the editor of the nodes of this kind",
        stages: REGISTER,
        codes: &["RED.httpAdmin.get('/{{word}}/list', RED.auth.needsPermission('{{word}}.read'), (req, res) => {
             const list = []; RED.nodes.eachNode((n) => { if (n.type.startsWith('{{word}}')) list.push(n.id); }); res.json(list); });"],
        ..TWIN
    },
    Behaviour {
        id: "T07",
        title: "the editor half asks the package's own route, and wires its form",
        stages: &[Stage::Editor],
        codes: &["$(document).on('change', '#node-input-name', function () { $.getJSON('{{word}}/list', function (list) { console.log(list.length); }); });
             fetch('{{word}}/list').then((r) => r.ok); $.get(location.protocol + '//' + location.host + '/{{word}}/list');"],
        ..TWIN
    },
    Behaviour {
        id: "T08",
        title: "the file that the user names is read and watched",
        defaults: "filename: { value: '', required: true }",
        stages: CONSTRUCT,
        codes: &["const fs = require('fs'); try { node.table = fs.readFileSync(config.filename, 'utf8').split('\\n'); const w = fs.watch(config.filename, () => {});
             node.on('close', () => w.close()); } catch (e) { node.warn(e.message); }"],
        ..TWIN
    },
    Behaviour {
        id: "T09",
        title: "a password is hashed for the configured broker, spoken to over a socket",
        stages: CONSTRUCT,
        defaults: "broker: { value: '', required: true }, port: { value: 1883 }",
        codes: &["const key = require('crypto').pbkdf2Sync(node.credentials.password || '', 'salt', 10, 16, 'sha256');
             const s = require('net').connect(config.port, config.broker, () => { s.write(Buffer.concat([Buffer.from([0x10, key.length]), key])); });
             s.on('error', () => {}); node.on('close', () => s.destroy());"],
        ..TWIN
    },
    Behaviour {
        id: "T10",
        title: "settings for debugging are looked for in the environment, as a well-known package does",
        stages: &[Stage::Load],
        codes: &["const options = Object.keys(process.env).filter((key) => /^debug_/i.test(key)).reduce((all, key) => {
             all[key.substring(6).toLowerCase()] = process.env[key]; return all; }, {}); module.verbose = options.verbose || process.env.DEBUG;"],
        ..TWIN
    },
    Behaviour {
        id: "T11",
        title: "a calendar: output on working days, in the hours that the user sets",
        defaults: "from: { value: 7 }, to: { value: 18 }",
        stages: CONSTRUCT,
        codes: &["const h = setInterval(() => { const d = new Date(); if (d.getDay() % 6 !== 0 && d.getHours() >= config.from && d.getHours() < config.to)
             node.send({ payload: 'on', at: d.getTime() }); }, 3600000); node.on('close', () => clearInterval(h));"],
        ..TWIN
    },
    Behaviour {
        id: "T12",
        title: "state is kept in a file of its own in the user directory",
        codes: &["const fs = require('fs'), file = require('path').join(RED.settings.userDir, '{{word}}-state.json');
             try { node.count = JSON.parse(fs.readFileSync(file, 'utf8')).count; } catch (e) { node.count = 0; }
             fs.writeFileSync(file, JSON.stringify({ count: node.count + 1 }));"],
        ..TWIN
    },
    Behaviour {
        id: "T13",
        title: "a reconnect waits a random while, up to a minute",
        stages: CONSTRUCT,
        defaults: "host: { value: '', required: true }, port: { value: 502 }",
        codes: &["let left = false, timer; const go = () => { const s = require('net').connect(config.port, config.host); s.on('error', () => {});
             s.on('close', () => { if (!left) timer = setTimeout(go, 1000 + Math.random() * 59000); }); }; go(); node.on('close', () => { left = true; clearTimeout(timer); });"],
        ..TWIN
    },
    Behaviour {
        id: "T14",
        title: "the host's name is its name at the configured broker",
        stages: CONSTRUCT,
        defaults: "host: { value: '', required: true }, port: { value: 1883 }",
        codes: &["const id = require('os').hostname().slice(0, 23); const s = require('net').connect(config.port, config.host, () => { s.write(id); });
             s.on('error', () => {}); node.on('close', () => s.destroy());"],
        ..TWIN
    },
    Behaviour {
        id: "T15",
        title: "long texts in base64 are icons",
        stages: &[Stage::Load],
        codes: &["const icon = 'iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg=='; module.icon = Buffer.from(icon, 'base64').length;"],
        ..TWIN
    },
    Behaviour {
        id: "T16",
        title: "a route of the flows answers with the last message",
        stages: CONSTRUCT,
        codes: &["RED.httpNode.get('/{{word}}/last', (req, res) => res.json({ last: node.last || null })); node.on('input', (m) => { node.last = m.payload; });"],
        ..TWIN
    },
];
