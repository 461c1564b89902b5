from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry


# One address: that of a gateway, or of a node that may be gone for seconds while
# it starts again.
def connect(nodes, master, security):
    host, port = nodes[0]
    return Redis(
        host=host, port=port, **security,
        socket_timeout=10,  # a node tries a write for five
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 30),
        retry_on_error=[ConnectionError, TimeoutError, OSError],
    )
