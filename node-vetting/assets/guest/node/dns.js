// The module `dns`: each question is told to the host, which answers.

import { offer } from '../loader/builtins.js';
import { call } from '../core/host.js';
import { later } from '../core/loop.js';
import { badArgument, systemError } from '../core/errors.js';
import { isIP } from './net.js';

const query = (name, type) => call('dns.resolve', { __proto__: null, name: `${name}`, type }).addresses ?? [];
const failed = (error, syscall, hostname) => systemError(error.code ?? 'ENOTFOUND', syscall, { hostname });

function lookupNow(hostname, options) {
  const { family = 0, all = false } = typeof options === 'number' ? { family: options } : (options ?? {});
  const literal = isIP(hostname ?? '');
  if (!hostname) return all ? [] : { address: null, family: 4 };
  let list;
  try {
    list = literal ? [hostname] : query(hostname, family === 6 ? 'AAAA' : 'A');
  } catch (error) {
    throw failed(error, 'getaddrinfo', hostname);
  }
  const found = list.map((address) => ({ address, family: isIP(address) || 4 }));
  if (found.length === 0) throw failed({ code: 'ENOTFOUND' }, 'getaddrinfo', hostname);
  return all ? found : found[0];
}
const resolveNow = (hostname, type = 'A') => {
  try {
    return query(hostname, type);
  } catch (error) {
    throw failed(error, `query${type[0]}${type.slice(1).toLowerCase()}`, hostname);
  }
};
const TYPES = {
  resolve4: 'A',
  resolve6: 'AAAA',
  resolveAny: 'ANY',
  resolveCaa: 'CAA',
  resolveCname: 'CNAME',
  resolveMx: 'MX',
  resolveNaptr: 'NAPTR',
  resolveNs: 'NS',
  resolvePtr: 'PTR',
  resolveSoa: 'SOA',
  resolveSrv: 'SRV',
  resolveTlsa: 'TLSA',
  resolveTxt: 'TXT',
  reverse: 'PTR',
};
const now = {
  lookup: lookupNow,
  resolve: resolveNow,
  lookupService: (address, port) => {
    void port;
    return { hostname: address, service: 'http' };
  },
};
for (const [name, type] of Object.entries(TYPES)) now[name] = (hostname) => resolveNow(hostname, type);

function withCallback(name) {
  return (...args) => {
    const callback = args.pop();
    if (typeof callback !== 'function') throw badArgument('callback', 'of type function', callback);
    let value;
    let error = null;
    try {
      value = now[name](...args);
    } catch (thrown) {
      error = thrown;
    }
    later(1, () => {
      if (error) return callback(error);
      if (name === 'lookup' && !Array.isArray(value)) return callback(null, value.address, value.family);
      if (name === 'lookupService') return callback(null, value.hostname, value.service);
      return callback(null, value);
    });
    return {};
  };
}
const withPromise =
  (name) =>
  async (...args) => {
    const value = now[name](...args);
    await new Promise((resolve) => later(1, resolve));
    return value;
  };
const shared = {
  getServers: () => ['192.0.2.53'],
  setServers() {},
  getDefaultResultOrder: () => 'verbatim',
  setDefaultResultOrder() {},
};
const make = (form) => {
  const out = { ...shared };
  for (const name of Object.keys(now)) out[name] = form(name);
  out.Resolver = class Resolver {
    constructor() {
      Object.assign(this, out);
      delete this.Resolver;
    }
    cancel() {}
    setLocalAddress() {}
  };
  return out;
};
const codes = {};
for (const code of [
  'NODATA',
  'FORMERR',
  'SERVFAIL',
  'NOTFOUND',
  'NOTIMP',
  'REFUSED',
  'BADQUERY',
  'BADNAME',
  'BADFAMILY',
  'BADRESP',
  'CONNREFUSED',
  'TIMEOUT',
  'EOF',
  'FILE',
  'NOMEM',
  'DESTRUCTION',
  'BADSTR',
  'BADFLAGS',
  'NONAME',
  'BADHINTS',
  'NOTINITIALIZED',
  'LOADIPHLPAPI',
  'ADDRGETNETWORKPARAMS',
  'CANCELLED',
])
  codes[code] = `E${code}`;
const promises = { ...make(withPromise), ...codes };
const dns = { ...make(withCallback), ...codes, ADDRCONFIG: 1024, V4MAPPED: 2048, ALL: 256, promises };
offer('dns/promises', promises);
export default offer('dns', dns);
