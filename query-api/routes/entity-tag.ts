/** Weak: the same prompt may be written with its fields in another order. */
export const entityTag = (position: number, version: number): string => `W/"${position}-${version}"`;

/** `If-None-Match`: a list of tags, compared weakly, or `*`. */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const opaque = (text: string) => text.trim().replace(/^W\//, '');
  return header.trim() === '*' || header.split(',').some((one) => opaque(one) === opaque(tag));
}
