/** Money is an integer of nano-USD (10⁻⁹ USD); the decimal string beside it is for people and for exact decimals elsewhere. */

/** `1500000` → `"0.0015"`; no exponent, no trailing zeros. Throws on anything that is not an integer. */
export function usd(nanoUsd: number | bigint): string {
  if (typeof nanoUsd === 'number' && !Number.isSafeInteger(nanoUsd))
    throw new RangeError(`${nanoUsd} is not a safe integer`);
  const amount = BigInt(nanoUsd);
  const digits = (amount < 0n ? -amount : amount).toString().padStart(10, '0');
  const fraction = digits.slice(-9).replace(/0+$/, '');
  return `${amount < 0n ? '-' : ''}${digits.slice(0, -9)}${fraction === '' ? '' : `.${fraction}`}`;
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
