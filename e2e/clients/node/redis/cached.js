const { createClient } = require("redis");

// Reads come from the client's memory, until the node says that a key has changed.
module.exports = ({ nodes }) => {
  const client = createClient({
    RESP: 3,
    socket: { ...nodes[0], reconnectStrategy: (retries) => Math.min(50 + retries * 50, 500) },
    clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: "LRU" },
  });
  client.on("error", (error) => console.error(error.message));
  return client.connect();
};
