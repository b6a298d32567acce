/** One page: ask, watch, read the answer. */
import { ApiError, type Client, createClient } from '../client/client.ts';
import { type Live, openLive } from '../client/live.ts';
import type { Prompt } from '../contracts/http/queries.ts';
import { createList } from './list.ts';

const element = <T extends HTMLElement>(id: string): T => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
};
const fault = element('fault');
const feed = element('feed');
const baseUrl = location.origin;

let client: Client | null = null;
let live: Live | null = null;
let selected: string | null = null;

const list = createList(element<HTMLTableSectionElement>('prompts'), element('empty'), (prompt) => {
  selected = prompt.id;
  list.select(prompt.id);
  showDetail(prompt);
});

function show(prompt: Prompt): void {
  list.show(prompt);
  if (prompt.id === selected) showDetail(prompt);
}

function showDetail(prompt: Prompt): void {
  element('detail').hidden = false;
  const facts: [string, string][] = [
    [
      'Status',
      prompt.status + (prompt.truncated ? ' (cut at the output limit)' : '') + (prompt.emulated ? ' · emulated' : ''),
    ],
    ['Model', prompt.model],
    ['Attempts', String(prompt.attempts)],
    [
      'Tokens',
      prompt.usage
        ? `${prompt.usage.inputTokens} in, ${prompt.usage.outputTokens} out, ${prompt.usage.thoughtTokens} thought`
        : '–',
    ],
    [
      'Cost',
      prompt.cost ? `${prompt.cost.usd} USD${prompt.cost.notional ? ' · notional, nobody is charged' : ''}` : '–',
    ],
    ['Id', prompt.id],
  ];
  const nodes = facts.flatMap(([name, value]) => {
    const term = document.createElement('dt');
    const text = document.createElement('dd');
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  });
  element('facts').replaceChildren(...nodes);
  element('detail-prompt').textContent = prompt.prompt;
  element('detail-answer').textContent =
    prompt.answer ?? (prompt.error ? `${prompt.error.code}: ${prompt.error.message}` : '…');
  element<HTMLButtonElement>('cancel').disabled = !['queued', 'running', 'retrying'].includes(prompt.status);
  element<HTMLButtonElement>('retry').disabled = prompt.status !== 'failed';
}

/** Runs an action and says in plain words what went wrong. */
async function attempt(action: () => Promise<void>): Promise<void> {
  fault.textContent = '';
  try {
    await action();
  } catch (error) {
    fault.textContent = error instanceof ApiError || error instanceof Error ? error.message : String(error);
  }
}

async function connect(apiKey: string): Promise<void> {
  const api = createClient({ baseUrl, apiKey });
  const models = await api.models();
  client = api;
  sessionStorage.setItem('key', apiKey);
  element<HTMLSelectElement>('model').replaceChildren(
    ...models.data.map(({ model, default: usual }) => new Option(model, model, usual, usual)),
  );
  live?.close();
  list.clear();
  let loaded = false;
  live = openLive({
    baseUrl,
    ticket: async () => (await api.ticket()).ticket,
    onFrame: (frame) => {
      if (frame.type === 'event') show(frame.prompt);
      // The list is read once the feed stands: whatever changes meanwhile comes over it, and the newer state wins.
      if (frame.type === 'resync' || (frame.type === 'hello' && !loaded)) void attempt(reload);
      loaded = true;
    },
    onState: (state, detail) => {
      feed.textContent = state === 'waiting' ? `feed ${detail ?? ''}, coming back…` : `feed ${state}`;
    },
  });
}

async function reload(): Promise<void> {
  const page = await client?.prompts({ limit: 50 });
  for (const prompt of page?.data ?? []) show(prompt);
}

element<HTMLFormElement>('key-form').onsubmit = (event) => {
  event.preventDefault();
  void attempt(() => connect(element<HTMLInputElement>('key').value.trim()));
};

element<HTMLFormElement>('ask').onsubmit = (event) => {
  event.preventDefault();
  const box = element<HTMLTextAreaElement>('prompt');
  void attempt(async () => {
    if (!client) throw new Error('first give an API key, above');
    const accepted = await client.ask({
      prompt: box.value,
      model: element<HTMLSelectElement>('model').value,
      lane: element<HTMLSelectElement>('lane').value as 'normal',
    });
    selected = accepted.id;
    box.value = '';
    show(await client.prompt(accepted.id, { minPosition: accepted.position }));
    list.select(accepted.id);
  });
};

for (const action of ['cancel', 'retry'] as const) {
  element<HTMLButtonElement>(action).onclick = () =>
    void attempt(async () => {
      if (client && selected) await client[action](selected);
    });
}

const kept = sessionStorage.getItem('key');
if (kept) void attempt(() => connect(kept));
