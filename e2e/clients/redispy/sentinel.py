from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel


# Every node is a sentinel, and names the node that leads.
def connect(nodes, master, security):
    sentinel = Sentinel(nodes, sentinel_kwargs=dict(security, socket_timeout=2), socket_timeout=10, **security)
    return sentinel.master_for(
        master,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 30),
        retry_on_error=[ConnectionError, TimeoutError, OSError],
    )
