/** Escapes keep line ends, terminal codes and directions of foreign text from being more than text; JSON leaves some as they are. */
export const printable = (text: string): string =>
  JSON.stringify(text)
    .slice(1, -1)
    .replace(OTHERS, (code) => `\\u${code.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Codes of terminals beyond ASCII, ends of lines, and what turns the rest of a line round. */
const OTHERS = /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
