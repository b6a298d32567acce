// What the peers' scripts share: options, concurrency, the result line.
export const options = JSON.parse(process.argv[2]);

/** Calls `work(i)` for 0 ≤ i < count with so many at once; seconds it took. */
export async function each(count, concurrency, work) {
  const startedAt = performance.now();
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < count; i = next++) await work(i);
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return (performance.now() - startedAt) / 1000;
}

export function result(count, addSeconds, allSeconds) {
  console.log(
    JSON.stringify({
      perSecond: count / allSeconds,
      addPerSecond: count / addSeconds,
      processPerSecond: count / (allSeconds - addSeconds),
    }),
  );
  process.exit(0);
}

export const payload = (i) => ({
  id: i,
  model: 'gemini-2.5-flash',
  prompt: `Explain in two sentences why the sky is blue, ${i}.`,
});
