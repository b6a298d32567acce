/** Faults of Postgres and of the way to it, told apart by code. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isConnectionLoss, isRetryable, sqlState } from './sqlstate.ts';

const fault = (code: string) => Object.assign(new Error(code), { code });

describe('a loss of connection is', () => {
  const codes = [
    ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN'],
    ...['ENETUNREACH', 'ENETDOWN', 'ENETRESET', 'EADDRNOTAVAIL', 'EMFILE', 'ENFILE', 'ENOBUFS'],
    ...['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA'],
    ...['08000', '08003', '08006', '08P01', '57P01', '57P02', '57P04', '57P05'],
  ];
  for (const code of codes) {
    test(code, () => {
      assert.ok(isConnectionLoss(fault(code)));
      assert.ok(isConnectionLoss(new AggregateError([fault(code)])), 'one for each address');
    });
  }
  test('what pg says without a code', () => {
    for (const text of [
      'Connection terminated unexpectedly',
      'Query read timeout',
      'timeout expired',
      'Client was closed and is not queryable',
    ])
      assert.ok(isConnectionLoss(new Error(text)), text);
  });
});

test('what the server refused is no loss of connection', () => {
  for (const code of ['23505', '22P05', '42P01', '57014', '40001', '28P01', '3D000', 'EACCES', 'ERR_INVALID_ARG_TYPE'])
    assert.equal(isConnectionLoss(fault(code)), false, code);
});

test('a code of the system is no SQLSTATE, though it has five letters', () => {
  assert.equal(sqlState(fault('EPIPE')), null);
  assert.equal(sqlState(fault('57P05')), '57P05');
  assert.equal(sqlState(new Error('none')), null);
});

test('a passing fault may be met again', () => {
  for (const code of ['40001', '40003', '40P01', '55P03', '57014', '57P03', '25006', '25P04', '53300'])
    assert.ok(isRetryable(fault(code)));
  assert.equal(isRetryable(fault('23505')), false);
});
