/** Money is an integer of nano-USD (10⁻⁹ USD); the decimal string beside it is for people and for exact decimals elsewhere. */

/** `1500000` → `"0.0015"`; no exponent, no trailing zeros. Throws on anything that is not an integer. */
export function usd(nanoUsd: number | bigint): string {
  if (typeof nanoUsd === 'number' && !Number.isSafeInteger(nanoUsd))
    throw new RangeError(`${nanoUsd} is not a safe integer`);
  if (typeof nanoUsd === 'number') {
    const digits = Math.abs(nanoUsd);
    const whole = Math.floor(digits / 1e9);
    return written(nanoUsd < 0, String(whole), digits - whole * 1e9);
  }
  const digits = nanoUsd < 0n ? -nanoUsd : nanoUsd;
  return written(nanoUsd < 0n, String(digits / 1_000_000_000n), Number(digits % 1_000_000_000n));
}

function written(isNegative: boolean, whole: string, nano: number): string {
  const text = isNegative ? `-${whole}` : whole;
  if (nano === 0) return text;
  const digits = String(nano + 1e9);
  let end = digits.length;
  while (digits.charCodeAt(end - 1) === 48) end -= 1;
  return `${text}.${digits.slice(1, end)}`;
}

export const amount = (nanoUsd: number | bigint): { nanoUsd: number; usd: string } => ({
  nanoUsd: Number(nanoUsd),
  usd: usd(nanoUsd),
});

/** `"0.0015"` → `1500000n`, exactly; null for anything but digits with at most nine after one point. */
export function parseUsd(text: string): bigint | null {
  const [, whole, fraction = ''] = /^(\d{1,20})(?:\.(\d{1,9}))?$/.exec(text) ?? [];
  return whole === undefined ? null : BigInt(whole + fraction.padEnd(9, '0'));
}
