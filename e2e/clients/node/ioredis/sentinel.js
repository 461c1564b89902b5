const Redis = require("ioredis");

// Every node is a sentinel, and names the node that leads.
module.exports = ({ nodes, master, username, password, tls }) => {
  const client = new Redis({
    sentinels: nodes, name: master,
    sentinelUsername: username, sentinelPassword: password, sentinelTLS: tls, enableTLSForSentinelMode: Boolean(tls),
    username, password, tls,
    sentinelRetryStrategy: (times) => Math.min(times * 50, 500),
    retryStrategy: (times) => Math.min(times * 50, 500),
    maxRetriesPerRequest: 40,
  });
  client.on("error", (error) => console.error(error.message));
  return client;
};
