const { createClient } = require("redis");

// One address: that of a gateway, or of a node that may be gone for seconds while
// it starts again.
module.exports = ({ nodes, username, password, tls }) => {
  const client = createClient({
    username, password,
    socket: {
      ...nodes[0], ...(tls && { tls: true, ...tls }),
      reconnectStrategy: (retries) => Math.min(50 + retries * 50, 500),
    },
  });
  client.on("error", (error) => console.error(error.message));
  return client.connect();
};
