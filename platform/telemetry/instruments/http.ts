import { activeExemplar } from '../exemplar.ts';
import type { Make } from '../instrument.ts';

type Response = { method: string; route: string; status: number; seconds: number };

export const httpMetrics = (make: Make) => {
  const seconds = make.histogram({
    name: 'http_server_request_duration_seconds',
    help: 'Time from a request’s arrival to the end of its answer',
    labelNames: ['method', 'route', 'status'],
  });
  return {
    /** For `createServer`. */
    onResponse: ({ method, route, status, seconds: took }: Response): void =>
      seconds({ method, route, status: String(status) }, took, activeExemplar()),
  };
};
