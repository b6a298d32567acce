/** All dashboards: file under dashboards/ → its text. */
import { business } from './business.ts';
import { type Dashboard, dashboardJson } from './dashboard.ts';
import { pipeline } from './pipeline.ts';
import { service } from './service.ts';
import { traces } from './traces.ts';
import { wall } from './wall.ts';

export const dashboards: Dashboard[] = [service, pipeline, business, traces, wall];

export const dashboardFiles = (): Record<string, string> =>
  Object.fromEntries(
    dashboards.map((dashboard) => [
      `deployment/grafana/dashboards/${dashboard.title.toLowerCase()}.json`,
      dashboardJson(dashboard),
    ]),
  );
