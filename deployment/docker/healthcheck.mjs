// `node healthcheck.mjs [PORT …]`: ends with 0 when the service of this container is ready, else with 1. A container runs one
// service, and each has a port of its own for operators: of those below at most one answers.
const PORTS = [9464, 9465, 9466, 9467];

const given = process.argv.slice(2);
const answers = await Promise.allSettled(
  (given.length > 0 ? given : PORTS).map((port) =>
    fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(4_000) }),
  ),
);
process.exit(answers.some(({ value }) => value?.ok) ? 0 : 1);
