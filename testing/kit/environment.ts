/** Addresses of the run's servers, set by testing/run-tests.ts. */
export function required(name: 'TEST_POSTGRES_URI' | 'TEST_REDIS_URI'): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the tests with "npm test" (a file: npm test -- path/x.test.ts)`);
  return value;
}

/** What a child process has of this process's environment: where programs are, and code that is compiled already. */
export function inherited(): Record<string, string> {
  const { PATH = '', NODE_COMPILE_CACHE } = process.env;
  return { PATH, ...(NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE }) };
}
