module.exports = 'from lib/index';
