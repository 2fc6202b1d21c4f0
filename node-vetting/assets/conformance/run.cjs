// Runs one conformance file under a real Node.js: `node run.cjs buffer.js`.
'use strict';
require(require('path').resolve(__dirname, process.argv[2]))().then((text) => process.stdout.write(text));
