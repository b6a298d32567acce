// Prints, for each query of a JSON array on stdin, where it does not parse: null, or the text before the fault.
import { parser } from '@grafana/lezer-traceql';

let input = '';
for await (const piece of process.stdin) input += piece;

const faults = JSON.parse(input).map((query) => {
  let fault = null;
  parser.parse(query).iterate({
    enter: ({ type, from }) => {
      if (type.isError) fault ??= query.slice(0, from);
    },
  });
  return fault;
});
console.log(JSON.stringify(faults));
