const Redis = require("ioredis");

// One address: that of a gateway, or of a node that may be gone for seconds while
// it starts again. What was not answered is sent again once it is back.
module.exports = ({ nodes, username, password, tls }) => {
  const client = new Redis({
    ...nodes[0], username, password, tls,
    retryStrategy: (times) => Math.min(times * 50, 500),
    maxRetriesPerRequest: 40, // connections that are tried while a command waits
  });
  client.on("error", (error) => console.error(error.message));
  return client;
};
