import { activeExemplar } from '../exemplar.ts';
import type { Make } from '../instrument.ts';

type Response = { method: string; route: string; status: number; seconds: number };

/** Asked every second by gateways: it would be most of what there is to see where users are few. */
const LEFT_OUT = '/health';

export const httpMetrics = (make: Make) => {
  const seconds = make.histogram({
    name: 'http_server_request_duration_seconds',
    help: 'Time from a request’s arrival to the end of its answer; of all routes but /health',
    labelNames: ['method', 'route', 'status'],
  });
  return {
    /** For `createServer`. */
    onResponse: ({ method, route, status, seconds: took }: Response): void => {
      if (route !== LEFT_OUT) seconds({ method, route, status: String(status) }, took, activeExemplar());
    },
  };
};
