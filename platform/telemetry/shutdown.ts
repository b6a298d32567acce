/** What tracing has left to send when the process stops. Apart from the SDK: without a collector that is never loaded. */
let send: () => Promise<void> = async () => {};

export const onTracingStop = (shutdown: () => Promise<void>): void => {
  send = shutdown;
};

/** Sends what is left; nothing where tracing never started. */
export const stopTracing = (): Promise<void> => send();
