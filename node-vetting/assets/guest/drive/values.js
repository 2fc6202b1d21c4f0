// Plausible values for the properties of a node, by the name of the property. Used in the editor half, where a package's own
// validators choose among them, and for types whose editor half says nothing.

const HINTS = [
  [/^name$/i, (c) => [c.name]],
  [/interval|period|timeout|delay|^every|repeat|cycle|poll|refresh|keepalive/i, () => ['5', '1000', '10', '60']],
  [/serial|com_?port|tty/i, (c) => [c.serial_port]],
  [/port$/i, (c) => [`${c.port}`, '1883', '502', '102', '8080', '80']],
  [
    /(^|_)(url|uri|endpoint|webhook|feed)|url$|uri$/i,
    (c) => [
      c.url,
      `http://${c.host}:8080/`,
      `opc.tcp://${c.host}:4840`,
      `mqtt://${c.broker}:1883`,
      `redis://${c.database}:6379`,
      `ws://${c.host}/`,
    ],
  ],
  [/broker/i, (c) => [c.broker, `mqtt://${c.broker}`]],
  [/(db|database|sql|influx|mongo|redis).*(host|server|address)/i, (c) => [c.database]],
  [
    /host|server|address|^ip|ipaddr|hostname|gateway|controller|plc|device$/i,
    (c) => [c.host, c.address, `http://${c.host}`],
  ],
  [/user|login|account/i, (c) => [c.user]],
  [/pass(word)?$|secret|token|api_?key/i, (c) => [c.credential]],
  [/topic/i, () => ['plant/line1/temperature', 'sensors/#']],
  [/(file|path|dir|folder)(name)?$/i, (c) => [c.file, c.folder]],
  [/database|^db$|bucket|schema|table|measurement/i, () => ['plant', 'temperature']],
  [/query|sql|statement/i, () => ['SELECT value FROM temperature WHERE id = 1', 'plant']],
  [/channel|unit|slave|rack|slot|node_?id|^id$|count|size|length|quantity/i, () => ['1', '0', '10']],
  [/cron|schedule|expression/i, () => ['0 */5 * * * *', '*/5 * * * *', 'payload']],
  [/e?mail|^to$|^from$/i, (c) => [c.mail]],
  [/lat(itude)?$/i, () => ['52.5']],
  [/lon(gitude)?$/i, () => ['13.4']],
  [/property|^prop$|field|^key$|msg/i, () => ['payload', 'topic']],
  [/type$/i, () => ['msg', 'str', 'num']],
  [/time$/i, () => ['12:00', '5', '00:10']],
  [/date/i, () => ['2026-11-02', '12/24']],
  [/format/i, () => ['YYYY-MM-DD', 'json']],
  [/color|colour/i, () => ['#336699']],
  [/qos/i, () => ['0', '1']],
];
const GENERAL = ['1', 'payload', 'plant', '10', '0', 'true', 'utf8', '12:00', '#336699', 'a', '1,2,3'];

/**
 * Values to try for a property, likely ones first. `canaries` names what the plan counts as configured. A property without a
 * field in the dialog (`field` is null) keeps what it comes with, unless its name says more.
 */
export function candidates(property, given, canaries, options = [], field = undefined) {
  const out = [];
  const put = (value) => {
    if (!out.some((one) => one === value)) out.push(value);
  };
  const empty = given === undefined || given === null || given === '';
  const hint = HINTS.find(([pattern]) => pattern.test(property));
  if (options.length > 0) {
    if (!empty && options.includes(`${given}`)) put(given);
    for (const option of options) put(option);
    return out;
  }
  if (typeof given === 'boolean') return [given, !given];
  if (typeof given === 'number') return [given, 1, 10, 0];
  if (typeof given === 'object' && given !== null) return [given];
  if (!empty && !/host|server|broker|address|url|^ip/i.test(property)) put(given);
  for (const value of hint?.[1](canaries) ?? []) put(value);
  if (!empty) put(given);
  if (!hint && field !== null) {
    put('');
    for (const value of GENERAL) put(value);
  }
  return out;
}
