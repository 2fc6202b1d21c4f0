module.exports = [this === exports, typeof arguments, arguments.length, this === module.exports];
