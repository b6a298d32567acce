/** Redis answers XINFO with a flat list of names and values; a value that it does not know is left out. */
export function fieldsOf(flat: unknown): Map<string, string> {
  const list = flat as unknown[];
  const fields = new Map<string, string>();
  for (let i = 0; i + 1 < list.length; i += 2) {
    if (list[i + 1] !== null) fields.set(String(list[i]), String(list[i + 1]));
  }
  return fields;
}
