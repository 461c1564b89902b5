const Redis = require("ioredis");

// Reads go to any node, which is no weaker here: every node answers with the
// newest value.
module.exports = ({ nodes, username, password, tls }) => {
  const client = new Redis.Cluster(nodes, {
    scaleReads: "all",
    clusterRetryStrategy: (times) => Math.min(times * 50, 500),
    retryDelayOnFailover: 200, // before another node is asked
    maxRedirections: 40,
    redisOptions: { username, password, tls },
  });
  client.on("error", (error) => console.error(error.message));
  return client;
};
