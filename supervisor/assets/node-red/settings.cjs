'use strict'
// Node-RED's settings. The values come from settings.json beside this file; nothing here is generated.

const values = require('./settings.json')

module.exports = {
  ...values.extra,
  uiPort: { fd: 3 },
  flowFile: values.flowFile,
}
