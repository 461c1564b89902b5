const { createCluster } = require("redis");

module.exports = ({ nodes, username, password, tls }) => {
  const client = createCluster({
    rootNodes: nodes.map((node) => ({ socket: node })),
    defaults: {
      username, password,
      socket: {
        ...(tls && { tls: true, ...tls }),
        reconnectStrategy: (retries) => Math.min(50 + retries * 50, 500),
      },
    },
    maxCommandRedirections: 40,
  });
  client.on("error", (error) => console.error(error.message));
  return client.connect();
};
