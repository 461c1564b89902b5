from redis.cluster import ClusterNode, RedisCluster


class Cluster(RedisCluster):
    # Version 4.3 copies its settings to reach another node, itself among them, and
    # fails at its own locks.
    def __deepcopy__(self, memo):
        return self


# By READONLY a node knows that it is to look like a cluster in INFO, on which
# version 4.3 insists. read_from_replicas=True sends it too, but that version fails
# when there is a replica less.
def say_readonly(connection):
    connection.send_command("READONLY")
    connection.read_response()


def connect(nodes, master, security):
    return Cluster(
        startup_nodes=[ClusterNode(host, port) for host, port in nodes], **security,
        redis_connect_func=say_readonly,
        cluster_error_retry_attempts=30,
        socket_timeout=10,
    )
