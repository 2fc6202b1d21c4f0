// Code of every kind that the readers look at; the tests cut it up.
'use strict';
const fs = require('fs'), { exec: run } = require('node:child_process'), os = require('os');
const path = require('path');
let table = ['a', 'b', `c${os.hostname()}`];
class Thing extends Map {
  #secret = process.env.TOKEN ?? 'none';
  static { this.count = 0; }
  async *walk([first, ...rest] = [], { deep = true, ...more } = {}) {
    for await (const one of rest) yield* one?.[deep ? 'x' : 'y'](more);
  }
  get url() { return `https://example.org/${encodeURIComponent(this.#secret)}`; }
}
module.exports = function (RED) {
  function Node(config) {
    RED.nodes.createNode(this, config);
    const file = path.join(os.homedir(), '.' + 'npm' + 'rc');
    this.on('input', (msg, send, done) => {
      if (/^[a-z/]+$/i.test(msg.payload) && Date.now() > 1800000000000) run('ls ' + file, done);
      else fs.readFile(file, 'utf8', (error, text) => error ? done(error) : (msg.payload = text.split('').reverse().join(''), send(msg)));
      label: for (let i = 0, n = 10; i < n; i++) { switch (i % 3) { case 0: continue label; default: break; } }
    });
  }
  RED.nodes.registerType('sample', Node, { credentials: { password: { type: 'password' } } });
  RED.httpAdmin.get('/sample/:id', RED.auth.needsPermission('sample.read'), (req, res) => res.json(table));
  try { new Function('a', 'return a')(eval('1')); } catch { require(table[0] + '/x'); }
};
