// Which runs a filter holds for: texts, and columns compared with values.
const Filter = (() => {
  const { columns } = Sweep;
  const TERM = /\s*(?:"([^"]*)"|([^\s"=!<>]+))(?:\s*(!=|<=|>=|=|<|>)\s*(?:"([^"]*)"|([^\s"]+))?)?/y;

  // Equal as the table shows them: fractions in six digits.
  const rounded = (value) => (typeof value !== "number" || Number.isInteger(value) ? value : Number(value.toPrecision(6)));
  const same = (a, b) => rounded(a) === rounded(b);
  const lower = (value) => (value === null ? "" : String(value).toLowerCase());
  const SIGNS = {
    "=": same, "!=": (a, b) => !same(a, b),
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
  };

  function comparison(name, sign, wanted) {
    const column = columns.find(({ key, heading }) => key === name || heading === name);
    if (!column) throw new Error(`no column is called “${name}”`);
    if (wanted === undefined) throw new Error(`“${name} ${sign}” needs a value`);
    const number = Number(wanted);
    const numeric = column.values.every((value) => value === null || typeof value === "number");
    if (numeric && wanted !== "" && Number.isNaN(number)) throw new Error(`“${name}” holds numbers, and “${wanted}” is none`);
    return (run) => {
      const value = column.values[run];
      if (typeof value === "number") return wanted !== "" && SIGNS[sign](value, number);
      return (value !== null || sign.includes("=")) && SIGNS[sign](lower(value), wanted.toLowerCase());
    };
  }

  const containing = (text) => (run) => columns.some(({ values }) => lower(values[run]).includes(text.toLowerCase()));

  // A function of a run; an Error says what cannot be read.
  function read(text) {
    if ((text.match(/"/g) ?? []).length % 2) throw new Error("a quote is not closed");
    const terms = [];
    TERM.lastIndex = 0;
    for (let end = 0; text.slice(end).trim(); end = TERM.lastIndex) {
      TERM.lastIndex = end;
      const found = TERM.exec(text);
      if (!found) throw new Error(`“${text.slice(end).trim()}” has no column before its sign`);
      const [, quoted, plain, sign, quotedValue, value] = found;
      terms.push(sign ? comparison(quoted ?? plain, sign, quotedValue ?? value) : containing(quoted ?? plain));
    }
    return (run) => terms.every((holds) => holds(run));
  }

  return { read };
})();
