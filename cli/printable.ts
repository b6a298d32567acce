/** Escapes keep line ends and terminal codes of foreign text from being more than text; JSON leaves some as they are. */
export const printable = (text: string): string =>
  JSON.stringify(text)
    .slice(1, -1)
    .replace(/[\u007f-\u009f]/g, (code) => `\\u00${code.charCodeAt(0).toString(16)}`);
