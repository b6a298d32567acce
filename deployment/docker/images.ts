/** Images that a Dockerfile or a compose file names: `FROM image` and `image: image`, with or without a digest. */
const NAMED = /^(FROM +|\s+image: +)((?:[\w.-]+(?::\d+)?\/)*[\w.-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?(?=\s|$)/gm;
/** Built here, never fetched. */
const OWN = 'prompt-orchestrator:';

/** Each once, as `name:tag`; those built here left out. */
export const images = (text: string): string[] => [
  ...new Set([...text.matchAll(NAMED)].map((match) => match[2]!).filter((image) => !image.startsWith(OWN))),
];

/** Every image in `digests` gets its digest, or a newer one in place of that which is there. */
export const withDigests = (text: string, digests: ReadonlyMap<string, string>): string =>
  text.replace(NAMED, (whole, before: string, image: string) =>
    digests.has(image) ? `${before}${image}@${digests.get(image)}` : whole,
  );
