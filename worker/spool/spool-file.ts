/**
 * One held answer as a file: sealed with AES-256-GCM, whose tag is the checksum too. Layout: magic (6 bytes), id of the
 * key (8), nonce (12), tag (16), ciphertext. The file's name is authenticated with it: under another name it does not
 * open.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

const MAGIC = Buffer.from('spool1');
const KEY_ID = 8;
const NONCE = 12;
const TAG = 16;

/** The file was cut or changed. */
export class SpoolDamagedError extends Error {
  readonly code = 'spool_damaged';
}

/** The file was sealed with the key of another database: it is whole, and not ours to open. */
export class SpoolForeignError extends Error {
  readonly code = 'spool_foreign';
}

/** Tells keys apart, and nothing of them. */
const idOf = (key: Buffer): Buffer => createHash('sha256').update(key).digest().subarray(0, KEY_ID);

/** The key never lies beside what it seals: it is derived from a secret of the database, which must be up to settle anyway. */
export const spoolKey = (secret: Buffer): Buffer => Buffer.from(hkdfSync('sha256', secret, '', 'spool', 32));

export function seal(key: Buffer, name: string, record: unknown): Buffer {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(name));
  const sealed = Buffer.concat([cipher.update(JSON.stringify(record), 'utf8'), cipher.final()]);
  return Buffer.concat([MAGIC, idOf(key), nonce, cipher.getAuthTag(), sealed]);
}

export function open(key: Buffer, name: string, file: Buffer): unknown {
  const nonceAt = MAGIC.length + KEY_ID;
  const body = nonceAt + NONCE + TAG;
  if (file.length < body || !file.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new SpoolDamagedError(`${name} is no whole file of a spool`);
  }
  if (!file.subarray(MAGIC.length, nonceAt).equals(idOf(key))) {
    throw new SpoolForeignError(`${name} was sealed for another database`);
  }
  const nonce = file.subarray(nonceAt, nonceAt + NONCE);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce);
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(file.subarray(nonceAt + NONCE, body));
  try {
    return JSON.parse(Buffer.concat([decipher.update(file.subarray(body)), decipher.final()]).toString('utf8'));
  } catch (cause) {
    throw new SpoolDamagedError(`${name} does not open: it was changed`, { cause });
  }
}
