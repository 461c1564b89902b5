"""What programs in Python do with redis-py beside plain commands: its Lock, a lock with
a token whose holder stands still, and a rate limiter (EVALSHA). patterns.py MODE uses the
settings in MODE.py; its order and its signs are those of main.py.

patterns.py MODE hold KEYS is a holder: it takes both locks for a second, says so, and
goes on when it is told a line, as if it had them still."""

import importlib
import json
import signal
import subprocess
import sys
import threading
import time
import uuid

from redis.exceptions import LockError, LockNotOwnedError

LOCK_SECONDS = 10  # longer than a node is gone; a SET that was sent again waits for itself so long
HOLD_MS = 1000
LIMIT = 20  # of grants
WINDOW_US = 1_000_000  # in so much time

# A log of what was granted, by the time of the store.
LIMITER = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[1]))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1] / 1000)
return now
"""

# A write that carries the token of a lock.
FENCED = """
if tonumber(redis.call('HGET', KEYS[1], 'token') or 0) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'value', ARGV[2])
return 1
"""


def count(client, keys):
    """What a lock is for: two commands that no other may come between. Returns whether
    that took long, so that the lock may have ended."""
    with client.lock(keys + "lock", timeout=LOCK_SECONDS, sleep=0.01):
        began = time.monotonic()
        value = int(client.get(keys + "counter") or 0)
        client.set(keys + "counter", value + 1)
        return time.monotonic() - began > LOCK_SECONDS * 0.8


def ask(client, keys):
    """Returns when it was granted, or 0."""
    return client.register_script(LIMITER)(keys=[keys + "limit"], args=[WINDOW_US, LIMIT, uuid.uuid4().hex])


class Load:
    """Does one of these again and again, in some threads, and remembers what it returned."""

    def __init__(self, step, threads, pause):
        self.step = step
        self.pause = pause
        self.returned = []
        self.errors = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.stopping.wait(self.pause):
            try:
                self.returned.append(self.step())
            except Exception as error:  # whatever an application would see
                self.errors.append(f"{type(error).__name__}: {error}"[:200])

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def take(client, keys, owner):
    """A lock with a token; whoever was not answered asks again with the same owner."""
    while True:
        token = client.execute_command("TUTTI.LOCK", keys + "fence", owner, HOLD_MS)
        if token is not None:
            return int(token)
        time.sleep(0.02)


def hold(client, keys):
    lock = client.lock(keys + "paused", timeout=HOLD_MS / 1000, sleep=0.02)
    lock.acquire()
    token = take(client, keys, "holder")
    print("held", flush=True)
    sys.stdin.readline()
    told = {}
    for name, step in (("extend", lambda: lock.extend(10)), ("release", lock.release)):
        try:
            step()
            told[name] = True
        except (LockNotOwnedError, LockError):
            told[name] = False
    told["write"] = bool(client.register_script(FENCED)(keys=[keys + "resource"], args=[token, "holder"]))
    print(json.dumps(told), flush=True)


def pause(client, keys, order):
    """A holder stands still for longer than its lock lasts, and another takes the lock."""
    child = subprocess.Popen([sys.executable, "-B", *sys.argv, "hold", keys],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        if child.stdout.readline() != "held\n":
            raise RuntimeError("the holder has taken nothing")
        child.send_signal(signal.SIGSTOP)
        lock = client.lock(keys + "paused", timeout=LOCK_SECONDS, sleep=0.02)
        lock.acquire()
        token = take(client, keys, "other")
        wrote = client.register_script(FENCED)(keys=[keys + "resource"], args=[token, "other"])
        child.send_signal(signal.SIGCONT)
        child.stdin.write("go on\n")
        child.stdin.flush()
        told = json.loads(child.stdout.readline())
        value = client.hget(keys + "resource", "value")
        return dict(holder_extended=told["extend"], holder_released=told["release"], holder_wrote=told["write"],
                    other_kept=bool(wrote) and lock.owned() and value == b"other")
    finally:
        child.kill()
        child.wait()


def pause_once(client, keys, order):
    """The story is told anew, about other keys, when the library fails in the midst of it:
    what it does not know it cannot tell."""
    failed = []
    while True:
        try:
            return pause(client, f"{keys}{len(failed)}:", order), failed
        except Exception as error:  # whatever an application would see
            failed.append(f"{type(error).__name__}: {error}"[:200])
            if len(failed) == 5:
                raise


def main():
    order = json.loads(sys.stdin.readline())
    nodes = [(host, int(port)) for host, port in (addr.rsplit(":", 1) for addr in order["addrs"])]
    client = importlib.import_module(sys.argv[1]).connect(nodes=nodes, master=order["master"], security={})
    if len(sys.argv) > 2:
        return hold(client, sys.argv[3])
    keys = order["keys"]
    loads = [Load(step, order["workers"], order["pause_ms"] / 1000)
             for step in (lambda: count(client, keys), lambda: ask(client, keys))]
    counts, asks = loads
    print("ready", flush=True)
    try:
        paused, failed = pause_once(client, keys, order)
        sys.stdin.read()  # its end is the sign to stop
    finally:
        for load in loads:
            load.stop()
    print("report " + json.dumps(dict(
        counted=len(counts.returned), slow=sum(counts.returned), counts_failed=len(counts.errors),
        counter=int(client.get(keys + "counter")),
        asked=len(asks.returned), asks_failed=len(asks.errors), granted=[at for at in asks.returned if at],
        limit=LIMIT, window_us=WINDOW_US, paused=paused, pauses_failed=len(failed), errors=sorted(set(counts.errors + asks.errors + failed)),
    )), flush=True)


main()
