/** Posts of a file: plain lines, CSV or TSV, JSON lines. */

const NAMES = ["text", "post", "content", "body", "selftext", "message", "tweet", "comment"];

/** A file that cannot be read as posts; the message says what to do. */
export class FileError extends Error {}

/**
 * @param {string} name of the file
 * @param {string} text its content
 * @returns {{posts: string[], column: string|null}}
 */
export function postsOf(name, text) {
  const clean = text.replace(/^\ufeff/, "");
  const ending = name.toLowerCase().split(".").pop();
  let found;
  if (ending === "csv") found = column(table(clean, clean.split("\n", 1)[0]));
  else if (ending === "tsv") found = column(table(clean, "\t"));
  else if (ending === "jsonl" || ending === "ndjson") found = objects(clean);
  else if (ending === "txt") found = { posts: lines(clean), column: null };
  else throw new FileError("This is not a .txt, .csv, .tsv or .jsonl file.");
  if (!found.posts.length) throw new FileError("There is no post in this file.");
  return found;
}

const lines = (text) => text.split(/\r?\n/).filter((line) => line.trim());

/**
 * Rows of cells, as RFC 4180 has them: quotes may hold delimiters, line ends and doubled quotes.
 *
 * @param {string} text
 * @param {string} header tells the delimiter: a tab, a semicolon where there is no comma, a comma
 */
export function table(text, header) {
  const delimiter = header === "\t" ? "\t" : !header.includes(",") && header.includes(";") ? ";" : ",";
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  for (let place = 0; place < text.length; place += 1) {
    const one = text[place];
    if (quoted) {
      if (one !== '"') cell += one;
      else if (text[place + 1] === '"') {
        cell += '"';
        place += 1;
      } else quoted = false;
    } else if (one === '"' && !cell) quoted = true;
    else if (one === delimiter) {
      row.push(cell);
      cell = "";
    } else if (one === "\n") {
      row.push(cell.replace(/\r$/, ""));
      rows.push(row);
      row = [];
      cell = "";
    } else cell += one;
  }
  if (quoted) throw new FileError("A quotation mark is opened and never closed.");
  if (cell || row.length) rows.push([...row, cell]);
  return rows.filter((cells) => cells.length > 1 || cells[0]);
}

/** @param {string[][]} rows the first names the columns */
function column([header = [], ...rows]) {
  const names = header.map((name) => name.trim().toLowerCase());
  let place = NAMES.map((name) => names.indexOf(name)).find((at) => at >= 0) ?? -1;
  if (place < 0 && header.length === 1) place = 0;
  if (place < 0) throw new FileError(`No column is called ${NAMES.slice(0, 3).join(", ")}: name one so.`);
  return { posts: rows.map((cells) => cells[place] ?? ""), column: header[place] };
}

function objects(text) {
  const rows = lines(text).map((line, place) => {
    try {
      return JSON.parse(line);
    } catch {
      throw new FileError(`Line ${place + 1} is not JSON.`);
    }
  });
  const name = NAMES.find((one) => rows.some((row) => typeof row?.[one] === "string"));
  if (!name) throw new FileError(`No object has ${NAMES.slice(0, 3).join(", ")}: name one so.`);
  return { posts: rows.map((row) => (typeof row?.[name] === "string" ? row[name] : "")), column: name };
}

/**
 * One cell of a CSV file; a formula of a spreadsheet stays a text.
 *
 * @param {unknown} value
 */
export function cell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (/^[=+\-@\t\r]/.test(text) && typeof value === "string") text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
