// JSON as the protocol means it: members in order of arrival (a Map), numbers with the digits they were written in.
// `JSON.parse` keeps neither: names that look like integers move to the front, and numbers become doubles.

export class Digits {
  constructor(text) { this.text = text; }
}

const TOKEN = /[ \t\n\r]*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(true|false|null))/y;
const WORDS = { true: true, false: false, null: null };

export function read(text) {
  let at = 0;
  const next = () => {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (!found) throw new Error(`no JSON at ${at}: ${text.slice(at, at + 40)}`);
    at = TOKEN.lastIndex;
    return found;
  };
  const value = ([, sign, string, number, word]) => {
    if (string !== undefined) return JSON.parse(string);
    if (number !== undefined) return new Digits(number);
    if (word !== undefined) return WORDS[word];
    if (sign === "[") return list();
    if (sign === "{") return members();
    throw new Error(`unexpected ${sign} before ${at}`);
  };
  const list = () => {
    const items = [];
    for (let token = next(); token[1] !== "]"; token = next()) {
      items.push(value(token[1] === "," ? next() : token));
    }
    return items;
  };
  const members = () => {
    const map = new Map();
    for (let token = next(); token[1] !== "}"; token = next()) {
      const name = value(token[1] === "," ? next() : token);
      if (next()[1] !== ":") throw new Error(`no colon before ${at}`);
      map.set(name, value(next()));
    }
    return map;
  };
  const root = value(next());
  if (text.slice(at).trim() !== "") throw new Error(`more than one value: ${text.slice(at, at + 40)}`);
  return root;
}

export function compact(value) {
  if (value instanceof Map) return `{${[...value].map(([k, v]) => `${compact(k)}:${compact(v)}`).join(",")}}`;
  if (Array.isArray(value)) return `[${value.map(compact).join(",")}]`;
  return value instanceof Digits ? value.text : JSON.stringify(value);
}
