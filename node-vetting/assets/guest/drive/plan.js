// The plan of a run as the host gives it, with what it may leave out.

export const USER_DIR = '/data';

/** What generated configurations name where the host does not say. */
const CONFIGURED = {
  host: 'plc.line3.example',
  address: '192.0.2.40',
  broker: 'broker.line3.example',
  database: 'db.line3.example',
  url: 'https://api.line3.example/v1',
  mail: 'line3@line3.example',
  file: '/data/configured/values.csv',
  folder: '/data/configured',
  port: 4000,
  serial_port: '/dev/ttyUSB0',
  user: 'line3',
};

/** Nodes of other packages in the same flows, with secrets of their own. */
const bystanders = (credential) => [
  {
    id: 'b0a4d00000000001',
    type: 'mqtt-broker',
    name: 'Plant broker',
    broker: CONFIGURED.broker,
    port: '1883',
    credentials: { user: 'line3', password: credential },
  },
  {
    id: 'b0a4d00000000002',
    type: 'inject',
    z: 'f10e000000000001',
    name: 'Every minute',
    repeat: '60',
    wires: [['b0a4d00000000003']],
    credentials: {},
  },
  {
    id: 'b0a4d00000000003',
    type: 'http request',
    z: 'f10e000000000001',
    name: 'Report',
    url: CONFIGURED.url,
    wires: [[]],
    credentials: { user: 'line3', password: credential },
  },
];

/** Fills in what a plan leaves out. */
export function planOf(given) {
  const credential = given.credential ?? 'credential-of-a-node';
  return {
    half: 'runtime',
    folder: '',
    installs: [],
    loads: [],
    nodes: [],
    plugins: [],
    types: {},
    messages: 6,
    days: 40,
    firings: 40,
    variants: 4,
    caller: 'chosen-by-caller',
    editor_token: 'login-of-the-editor',
    phases: null,
    settings: {},
    probes: {},
    words: [],
    bystanders: bystanders(given.other_credential ?? credential),
    ...given,
    credential,
    configured: { ...CONFIGURED, ...given.configured },
  };
}

/** What configurations and messages of a plan are made from. */
export function canariesOf(plan) {
  return { ...plan.configured, name: 'Pump 7', flow: 'f10e000000000001', credential: plan.credential };
}
