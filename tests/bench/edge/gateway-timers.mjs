// Timers for the gateway, which sets some while it is loaded. The runtime has none then.

let isReady = false;
export const ready = () => {
  isReady = true;
};
export const setTimeout = (run, ...rest) =>
  isReady ? globalThis.setTimeout(run, ...rest) : queueMicrotask(run);
export const setInterval = (...all) => (isReady ? globalThis.setInterval(...all) : undefined);
export const clearInterval = (timer) => isReady && globalThis.clearInterval(timer);
