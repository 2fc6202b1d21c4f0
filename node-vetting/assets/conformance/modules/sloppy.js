module.exports = (function () { return this === globalThis; })();
