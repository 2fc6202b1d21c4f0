// Reads the HTML of a node's editor half: its scripts, its templates, and the fields in them.

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };
const decode = (text) =>
  text.replace(/&(#x?[0-9a-f]+|\w+);/gi, (whole, name) =>
    name[0] === '#'
      ? String.fromCodePoint(
          Math.min(parseInt(name.slice(name[1] === 'x' ? 2 : 1), name[1] === 'x' ? 16 : 10) || 32, 0x10ffff),
        )
      : (ENTITIES[name.toLowerCase()] ?? whole),
  );

/** Attributes of a tag, names in lower case. */
export function attributes(tag) {
  const out = { __proto__: null };
  for (const match of tag.matchAll(/([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?/g))
    out[match[1].toLowerCase()] ??= decode(match[2] ?? match[3] ?? match[4] ?? '');
  return out;
}

/** The `script` elements with their attributes and content, and the markup around them. */
export function scripts(html) {
  const list = [];
  let outside = '';
  let at = 0;
  const opening = /<!--|<script\b((?:"[^"]*"|'[^']*'|[^>"'])*)>/gi;
  for (let match; (match = opening.exec(html)) !== null;) {
    outside += html.slice(at, match.index);
    if (match[0] === '<!--') {
      const end = html.indexOf('-->', match.index);
      at = opening.lastIndex = end < 0 ? html.length : end + 3;
      continue;
    }
    const start = opening.lastIndex;
    const closing = /<\/script\s*>/gi;
    closing.lastIndex = start;
    const end = closing.exec(html);
    const line = html.slice(0, start).split('\n').length;
    list.push({ attributes: attributes(match[1]), content: html.slice(start, end ? end.index : html.length), line });
    at = opening.lastIndex = end ? closing.lastIndex : html.length;
  }
  return { scripts: list, outside: outside + html.slice(at) };
}

/** Whether a script element holds code that a browser runs. */
export const isCode = ({ type = '' }) =>
  type === '' || type === 'module' || /^(text|application)\/(x-)?(java|ecma)script$/i.test(type.trim());

/** The fields of a template by the property that they edit: kind, options. */
export function fields(template) {
  const out = {};
  for (const match of template.matchAll(/<(input|select|textarea)\b((?:"[^"]*"|'[^']*'|[^>"'])*)>/gi)) {
    const given = attributes(match[2]);
    const name = /^node-(?:config-)?input-(.+)$/.exec(given.id ?? '')?.[1];
    if (name === undefined) continue;
    const field = {
      kind: match[1].toLowerCase() === 'input' ? (given.type ?? 'text').toLowerCase() : match[1].toLowerCase(),
    };
    if (field.kind === 'select') {
      const rest = template.slice(match.index + match[0].length);
      const end = rest.search(/<\/select/i);
      field.options = [
        ...rest.slice(0, end < 0 ? 2000 : end).matchAll(/<option\b((?:"[^"]*"|'[^']*'|[^>"'])*)>([^<]*)/gi),
      ]
        .map((option) => attributes(option[1]).value ?? decode(option[2]).trim())
        .filter((value, i, all) => all.indexOf(value) === i)
        .slice(0, 40);
    }
    out[name] ??= field;
  }
  return out;
}

const DANGER = /<script\b|<iframe\b|<object\b|<embed\b|\bon[a-z]+\s*=|javascript:/i;
/** Whether markup would run code by itself. */
export const runsCode = (markup) => DANGER.test(markup);
