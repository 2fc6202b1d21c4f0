// Node-RED's settings. The values come from settings.json beside this file; nothing here is generated.
'use strict'

const path = require('node:path')

const values = require('./settings.json')
const secrets = require('./secrets.cjs')
const log = require('./log.cjs')

const NO_INSTALLS = { allowInstall: false, allowUpdate: false, allowUpload: false }

const { editorTheme = {}, ...extra } = values.extra

// Node-RED reads the icon of its page from a file.
const favicon = editorTheme.page?.favicon
if (typeof favicon === 'string') editorTheme.page.favicon = path.resolve(values.files, favicon)

const settings = {
  // Settings of an imported project come first, so that none of them can undo what the host relies on.
  ...extra,
  uiPort: values.listen,
  userDir: values.userDir,
  flowFile: values.flowFile,
  flowFilePretty: true,
  readOnly: values.readOnly,
  fileWorkingDirectory: values.files,
  // Requests come through the host's front, which says from whom.
  httpServerOptions: { 'trust proxy': 1, ...extra.httpServerOptions },
  logging: { redhold: { level: values.logLevel, metrics: false, audit: false, handler: log.handler } },
  // Breaks off a function node's endless loop and keeps the instance alive.
  globalFunctionTimeout: extra.globalFunctionTimeout ?? values.functionTimeout,
  functionExternalModules: extra.functionExternalModules ?? true,
  // Nobody is told anything, and the version is the host's to choose.
  telemetry: { enabled: false, updateNotification: false },
  externalModules: {
    ...extra.externalModules,
    palette: { ...extra.externalModules?.palette, ...(values.paletteInstall ? {} : NO_INSTALLS) },
  },
  editorTheme: {
    tours: false,
    // Said, because Node-RED warns where it has to assume.
    projects: { enabled: false },
    ...editorTheme,
  },
}

if (typeof secrets.credentialSecret === 'string') settings.credentialSecret = secrets.credentialSecret
if (values.safeMode) settings.safeMode = true
if (values.nodesExcludes.length > 0) settings.nodesExcludes = values.nodesExcludes

if (typeof secrets.voucher === 'string') {
  // Whoever may edit was let in by the host's front, which says so with what only it and this instance know.
  const { createHash, timingSafeEqual } = require('node:crypto')
  const digest = (text) => createHash('sha256').update(String(text)).digest()
  const expected = digest(secrets.voucher)
  const operator = { username: 'operator', permissions: '*' }
  settings.adminAuth = {
    tokenHeader: 'x-redhold-voucher',
    tokens: async (token) => (timingSafeEqual(digest(token), expected) ? operator : null),
  }
}

module.exports = settings
