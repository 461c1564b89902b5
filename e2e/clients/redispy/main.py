"""The load of redis-py: see the package doc of the runner for what it reads and
writes. main.py MODE uses the settings in MODE.py."""

import importlib
import json
import sys
import threading
import time


class Worker:
    def __init__(self, client, keys):
        self.client = client
        self.keys = keys
        self.last = None  # when a command was last acknowledged
        self.report = dict(commands=0, failed=0, added=0, not_added=[], incremented=0, stale=0, gap_ms=0, errors={})

    def round(self):
        """A member no other has, an increment, and a read of what was incremented."""
        report = self.report
        report["added"] += 1
        if not self.call(lambda: self.client.sadd(self.keys + "set", report["added"]))[0]:
            report["not_added"].append(report["added"])
        if self.call(lambda: self.client.incr(self.keys + "counter"))[0]:
            report["incremented"] += 1
        answered, value = self.call(lambda: self.client.get(self.keys + "counter"))
        if answered and int(value or 0) < report["incremented"]:
            report["stale"] += 1

    def call(self, command):
        report = self.report
        report["commands"] += 1
        try:
            value = command()
        except Exception as error:  # whatever an application would see
            report["failed"] += 1
            text = f"{type(error).__name__}: {error}"
            report["errors"][text] = report["errors"].get(text, 0) + 1
            return False, None
        now = time.monotonic()
        if self.last is not None:
            report["gap_ms"] = max(report["gap_ms"], round((now - self.last) * 1000))
        self.last = now
        return True, value


def main():
    order = json.loads(sys.stdin.readline())
    nodes = []
    for addr in order["addrs"]:
        host, port = addr.rsplit(":", 1)
        nodes.append((host, int(port)))
    security = {}
    if order["ca"]:
        security = dict(username=order["user"], password=order["password"], ssl=True, ssl_ca_certs=order["ca"])
    connect = importlib.import_module(sys.argv[1]).connect
    client = connect(nodes=nodes, master=order["master"], security=security)

    workers = [Worker(client, f"{order['keys']}{i}:") for i in range(order["workers"])]
    for worker in workers:
        worker.round()
    print("ready", flush=True)
    stopping = threading.Event()

    def work(worker):
        while not stopping.wait(order["pause_ms"] / 1000):
            worker.round()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    sys.stdin.read()  # its end is the sign to stop
    stopping.set()
    for thread in threads:
        thread.join()
    print("report " + json.dumps([worker.report for worker in workers]), flush=True)


main()
