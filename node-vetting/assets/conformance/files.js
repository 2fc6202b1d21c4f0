// The module `fs` in a folder of its own.
'use strict';
const fs = require('fs');
const path = require('path');
const os = require('os');
module.exports = require('./harness')(async (say) => {
  const root = path.join(os.tmpdir(), 'conformance-of-fs');
  fs.rmSync(root, { recursive: true, force: true });
  const at = (name) => path.join(root, name);
  const plain = (error) => Object.assign(error, { message: error.message.replaceAll(root, 'ROOT') });
  const tell = (label, action) =>
    say(label, async () => {
      try {
        return await action();
      } catch (error) {
        throw plain(error);
      }
    });
  await tell('mkdir', () => [
    fs.mkdirSync(at('a/b'), { recursive: true })?.replace(root, 'ROOT'),
    fs.mkdirSync(at('a/b'), { recursive: true }),
  ]);
  await tell('mkdir again', () => fs.mkdirSync(at('a')));
  await tell('mkdir deep', () => fs.mkdirSync(at('x/y/z')));
  await tell('write', () => {
    fs.writeFileSync(at('f.txt'), 'hällo');
    fs.appendFileSync(at('f.txt'), '!');
    return [
      fs.readFileSync(at('f.txt'), 'utf8'),
      fs.readFileSync(at('f.txt')).length,
      fs.readFileSync(at('f.txt'), { encoding: 'hex' }),
    ];
  });
  await tell('exclusive', () => fs.writeFileSync(at('f.txt'), 'x', { flag: 'wx' }));
  for (const [label, action] of Object.entries({
    'read missing': () => fs.readFileSync(at('none')),
    'read folder': () => fs.readFileSync(root),
    'stat missing': () => fs.statSync(at('none')),
    'list missing': () => fs.readdirSync(at('none')),
    'list file': () => fs.readdirSync(at('f.txt')),
    'unlink missing': () => fs.unlinkSync(at('none')),
    'rename missing': () => fs.renameSync(at('none'), at('b')),
    'copy missing': () => fs.copyFileSync(at('none'), at('b')),
    'access missing': () => fs.accessSync(at('none')),
    'rmdir full': () => fs.rmdirSync(at('a')),
    'rm folder': () => fs.rmSync(at('a')),
    'write into missing': () => fs.writeFileSync(at('no/such'), ''),
    'open missing': () => fs.openSync(at('none')),
    'bad argument': () => fs.readFileSync({}),
    'null byte': () => fs.readFileSync('a\0b'),
    'bad descriptor': () => fs.closeSync(999),
    'write wrong': () => fs.writeFileSync(at('q'), 5),
    'no callback': () => fs.readFile(at('f.txt')),
  }))
    await tell(label, action);
  await tell('error shape', () => {
    try {
      fs.openSync(at('none'), 'r');
    } catch (e) {
      return [e.errno, e.code, e.syscall, e.path.replace(root, 'ROOT'), Object.keys(e)];
    }
    return null;
  });
  await tell('stat', () => {
    const s = fs.statSync(at('f.txt'));
    const d = fs.statSync(root);
    return [
      s.isFile(),
      s.isDirectory(),
      s.size,
      d.isDirectory(),
      s.mtime instanceof Date,
      typeof s.mtimeMs,
      fs.statSync(at('none'), { throwIfNoEntry: false }),
      typeof fs.statSync(at('f.txt'), { bigint: true }).size,
    ];
  });
  await tell('list', () => [
    fs.readdirSync(root),
    fs.readdirSync(root, { withFileTypes: true }).map((e) => [e.name, e.isDirectory()]),
    fs.readdirSync(root, { recursive: true }).sort(),
  ]);
  await tell('exists', () => [fs.existsSync(root), fs.existsSync(at('none')), fs.existsSync(undefined)]);
  await tell('descriptor', () => {
    const fd = fs.openSync(at('d.txt'), 'w+');
    fs.writeSync(fd, 'hello world');
    fs.writeSync(fd, Buffer.from('J'), 0, 1, 0);
    const b = Buffer.alloc(5);
    const n = fs.readSync(fd, b, 0, 5, 0);
    fs.ftruncateSync(fd, 4);
    const size = fs.fstatSync(fd).size;
    fs.closeSync(fd);
    return [n, b.toString(), size, fs.readFileSync(at('d.txt'), 'utf8')];
  });
  await tell(
    'callbacks',
    () =>
      new Promise((resolve) =>
        fs.readFile(at('f.txt'), 'utf8', (error, text) =>
          fs.readFile(at('none'), (missing) => fs.exists(root, (there) => resolve([error, text, missing.code, there]))),
        ),
      ),
  );
  await tell('promises', async () => {
    const h = await fs.promises.open(at('p.txt'), 'w+');
    await h.writeFile('abc');
    const { bytesRead } = await h.read(Buffer.alloc(2), 0, 2, 0);
    await h.close();
    return [
      bytesRead,
      await fs.promises.readFile(at('p.txt'), 'utf8'),
      await fs.promises.access(at('none')).catch((e) => e.code),
    ];
  });
  await tell('promisified', async () => {
    const { promisify } = require('util');
    const fd = fs.openSync(at('f.txt'), 'r');
    const { bytesRead } = await promisify(fs.read)(fd, Buffer.alloc(3), 0, 3, 0);
    fs.closeSync(fd);
    return [bytesRead, await promisify(fs.exists)(root)];
  });
  await tell('streams', async () => {
    await new Promise((resolve) => {
      const w = fs.createWriteStream(at('s.txt'));
      w.write('one ');
      w.end('two', resolve);
    });
    const parts = [];
    for await (const c of fs.createReadStream(at('s.txt'), { encoding: 'utf8', start: 1, end: 4 })) parts.push(c);
    return [parts.join(''), fs.readFileSync(at('s.txt'), 'utf8')];
  });
  await tell(
    'stream error',
    () => new Promise((resolve) => fs.createReadStream(at('none')).on('error', (e) => resolve(e.code))),
  );
  await tell('stream append', async () => {
    await new Promise((resolve) => fs.createWriteStream(at('s.txt'), { flags: 'a' }).end('!', resolve));
    return fs.readFileSync(at('s.txt'), 'utf8');
  });
  await tell('move', () => {
    fs.renameSync(at('s.txt'), at('t.txt'));
    fs.copyFileSync(at('t.txt'), at('u.txt'));
    return [fs.existsSync(at('s.txt')), fs.readFileSync(at('u.txt'), 'utf8')];
  });
  await tell('cp', () => {
    fs.cpSync(at('a'), at('copy'), { recursive: true });
    return fs.readdirSync(at('copy'));
  });
  await tell('mkdtemp', () => {
    const made = fs.mkdtempSync(at('tmp-'));
    return [path.basename(made).length, fs.statSync(made).isDirectory()];
  });
  await tell('rm', () => {
    fs.rmSync(at('a'), { recursive: true });
    fs.rmSync(at('none'), { force: true });
    return fs.existsSync(at('a'));
  });
  await tell('constants', () => [fs.constants.O_RDWR, fs.F_OK, fs.constants.S_IFDIR]);
  fs.rmSync(root, { recursive: true, force: true });
});
