/**
 * Images that deployment names by tag, with or without a digest: `FROM image` of a Dockerfile, `image: image` of a compose
 * file, and of the chart's values and their schema `repository` and `tag` with a `digest` beside them.
 */
const NAMED = /^(FROM +|\s+image: +)((?:[\w.-]+(?::\d+)?\/)*[\w.-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?(?=\s|$)/gm;
const IN_VALUES = /(repository: ([\w./:-]+)\n +tag: ([\w.-]+)\n +digest: )(?:''|sha256:[0-9a-f]{64})/g;
const IN_SCHEMA =
  /("repository": \{[^}]*"default": "([^"]+)"\s*\},\s*"tag": \{[^}]*"default": "([^"]+)"\s*\},\s*"digest": \{[\s\S]*?"default": )"(?:sha256:[0-9a-f]{64})?"/g;
/** Built here, never fetched. */
const OWN = 'prompt-orchestrator:';

/** Each once, as `name:tag`; those built here left out. */
export const images = (text: string): string[] => [
  ...new Set([
    ...[...text.matchAll(NAMED)].map((match) => match[2]!).filter((image) => !image.startsWith(OWN)),
    ...[IN_VALUES, IN_SCHEMA].flatMap((pattern) =>
      [...text.matchAll(pattern)].map(([, , repository, tag]) => `${repository}:${tag}`),
    ),
  ]),
];

/** Every image in `digests` gets its digest, or a newer one in place of that which is there. */
export function withDigests(text: string, digests: ReadonlyMap<string, string>): string {
  const beside =
    (quote: string) =>
    (whole: string, before: string, repository: string, tag: string): string => {
      const digest = digests.get(`${repository}:${tag}`);
      return digest ? `${before}${quote}${digest}${quote}` : whole;
    };
  return text
    .replace(NAMED, (whole, before: string, image: string) =>
      digests.has(image) ? `${before}${image}@${digests.get(image)}` : whole,
    )
    .replace(IN_VALUES, beside(''))
    .replace(IN_SCHEMA, beside('"'));
}
