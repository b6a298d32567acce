/** CSV (RFC 4180) for spreadsheets: CRLF after every row, quotes doubled, and no cell that is taken for a formula. */

export const csvRow = (cells: readonly unknown[]): string => `${cells.map(cell).join(',')}\r\n`;

/** What a spreadsheet would calculate, run or fetch: the apostrophe makes it text. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

/** A number is one, also below zero; only text can be a formula. */
function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value !== 'string') return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
