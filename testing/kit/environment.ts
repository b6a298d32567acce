/** Addresses of the run's servers, set by testing/run-tests.ts. */
export function required(name: 'TEST_POSTGRES_URI' | 'TEST_REDIS_URI'): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the tests with "npm test" (a file: npm test -- path/x.test.ts)`);
  return value;
}
