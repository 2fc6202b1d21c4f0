// The core modules that touch nothing, under their names.

import { offer } from '../loader/builtins.js';
import { dep } from '../loader/deps.js';
import events from './events.js';
import path from './path.js';
import util from './util.js';
import types from './types.js';
import querystring from './querystring.js';
import './buffer.js';

offer('events', events);
offer('path', path);
offer('path/posix', path.posix);
offer('path/win32', path.win32);
offer('util', util);
offer('util/types', types);
offer('sys', util);
offer('querystring', querystring);
offer('string_decoder', dep('string_decoder/lib/string_decoder.js'));
offer('punycode', dep('punycode/punycode.js'));
offer('process', globalThis.process);
