const { createSentinel } = require("redis");

// Every node is a sentinel, and names the node that leads.
module.exports = ({ nodes, master, username, password, tls }) => {
  const options = { username, password, socket: { ...(tls && { tls: true, ...tls }) } };
  const client = createSentinel({
    name: master,
    sentinelRootNodes: nodes,
    sentinelClientOptions: options,
    nodeClientOptions: options,
    maxCommandRediscovers: 40,
  });
  client.on("error", (error) => console.error(error.message));
  return client.connect();
};
