// Everything of the guest, in order. What it leaves is taken and removed by the host.

import './core/stack.js';
import './web/encoding.js';
import './web/events.js';
import './web/url.js';
import './web/timers.js';
import './web/messaging.js';
import './web/streams.js';
import './web/headers.js';
import './web/blob.js';
import './web/fetch.js';
import './web/intl.js';
import './web/wasm.js';
import './node/process.js';
import './web/console.js';
import './node/pure.js';
import './loader/bridge.js';
import './node/stream.js';
import './node/async.js';
import './node/fs.js';
import './node/os.js';
import './node/net.js';
import './node/tls.js';
import './node/dgram.js';
import './node/dns.js';
import './node/http.js';
import './node/child_process.js';
import './node/vm.js';
import './node/crypto.js';
import './node/zlib.js';
import './node/url.js';
import './node/assert.js';
import './node/misc.js';
import { drive } from './drive/drive.js';
import { synthesize } from './loader/esm.js';
import { rejected } from './node/rejections.js';

globalThis.__guest = { drive, synthesize, rejected };
