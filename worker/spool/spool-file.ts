/**
 * One held answer as a file: sealed with AES-256-GCM, whose tag is the checksum too. Layout: magic (6 bytes), nonce
 * (12), tag (16), ciphertext. The file's name is authenticated with it: a file put under another name does not open.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const MAGIC = Buffer.from('spool1');
const NONCE = 12;
const TAG = 16;

/** The file was cut, changed, or sealed with another key. */
export class SpoolDamagedError extends Error {
  readonly code = 'spool_damaged';
}

/** The key never lies beside what it seals: it is derived from a secret of the database, which must be up to settle anyway. */
export const spoolKey = (secret: Buffer): Buffer => Buffer.from(hkdfSync('sha256', secret, '', 'spool', 32));

export function seal(key: Buffer, name: string, record: unknown): Buffer {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(name));
  const sealed = Buffer.concat([cipher.update(JSON.stringify(record), 'utf8'), cipher.final()]);
  return Buffer.concat([MAGIC, nonce, cipher.getAuthTag(), sealed]);
}

export function open(key: Buffer, name: string, file: Buffer): unknown {
  const body = MAGIC.length + NONCE + TAG;
  if (file.length < body || !file.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new SpoolDamagedError(`${name} is no whole file of a spool`);
  }
  const nonce = file.subarray(MAGIC.length, MAGIC.length + NONCE);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce);
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(file.subarray(MAGIC.length + NONCE, body));
  try {
    return JSON.parse(Buffer.concat([decipher.update(file.subarray(body)), decipher.final()]).toString('utf8'));
  } catch (cause) {
    throw new SpoolDamagedError(`${name} does not open: damaged, or of another database`, { cause });
  }
}
