exports.early = 1; exports.b = require('./cycle-b').seen; exports.late = 2;
