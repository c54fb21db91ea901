// Stands in for what the gateway takes of Node.js and does not need here: a listener, WebSockets, Redis.

export const app = {};
export const serve = ({ fetch }) => {
  app.fetch = fetch;
};
export const createNodeWebSocket = () => ({
  injectWebSocket() {},
  upgradeWebSocket: () => (_, next) => next(),
});
export default class {}
