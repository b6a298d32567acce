/** The live list: rows change in place, newest first, never more than can be read. */
import type { Prompt } from '../contracts/http/queries.ts';

const MOST_ROWS = 200;
const MARKS: Record<Prompt['status'], string> = {
  queued: '○ queued',
  running: '◐ running',
  retrying: '↻ retrying',
  completed: '● completed',
  failed: '✕ failed',
  cancelled: '– cancelled',
  expired: '⏱ expired',
};

export type List = { show: (prompt: Prompt) => void; clear: () => void; select: (id: string) => void };

export function createList(
  body: HTMLTableSectionElement,
  empty: HTMLElement,
  onSelect: (prompt: Prompt) => void,
): List {
  const rows = new Map<string, { row: HTMLTableRowElement; prompt: Prompt }>();
  const submittedAt = new WeakMap<HTMLTableRowElement, string>();

  function fill(row: HTMLTableRowElement, prompt: Prompt): void {
    const time = document.createElement('time');
    time.dateTime = prompt.submittedAt;
    time.title = prompt.submittedAt;
    time.textContent = new Date(prompt.submittedAt).toLocaleTimeString();
    const cells = [
      cell(time),
      cell(MARKS[prompt.status], prompt.status),
      cell(prompt.userId),
      cell(prompt.model),
      cell(prompt.prompt.slice(0, 140), 'prompt'),
      cell(prompt.usage ? String(prompt.usage.totalTokens) : '', 'number'),
      cell(prompt.cost?.usd ?? '', 'number'),
    ];
    row.replaceChildren(...cells);
  }

  return {
    show: (prompt) => {
      const known = rows.get(prompt.id);
      if (known && known.prompt.position > prompt.position) return;
      const row = known?.row ?? document.createElement('tr');
      fill(row, prompt);
      rows.set(prompt.id, { row, prompt });
      if (!known) {
        row.tabIndex = 0;
        const choose = () => onSelect(rows.get(prompt.id)!.prompt);
        row.onclick = choose;
        row.onkeydown = (event) => {
          if (event.key === 'Enter') choose();
        };
        const older = [...body.rows].find((other) => (submittedAt.get(other) ?? '') < prompt.submittedAt);
        submittedAt.set(row, prompt.submittedAt);
        body.insertBefore(row, older ?? null);
      }
      for (const old of [...body.rows].slice(MOST_ROWS)) {
        old.remove();
        for (const [id, one] of rows) if (one.row === old) rows.delete(id);
      }
      empty.hidden = true;
    },
    clear: () => {
      rows.clear();
      body.replaceChildren();
      empty.hidden = false;
    },
    select: (id) => {
      for (const [other, { row }] of rows) row.setAttribute('aria-selected', String(other === id));
    },
  };
}

function cell(content: string | Node, className = ''): HTMLTableCellElement {
  const td = document.createElement('td');
  td.className = className;
  td.append(content);
  return td;
}
