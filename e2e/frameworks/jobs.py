"""What programs that use a framework in Python have in common.

    PROGRAM add  HOST PORT QUEUES JOBS DELAY-EVERY
    PROGRAM work HOST PORT QUEUES JOURNAL
    PROGRAM left HOST PORT QUEUES JOBS
"""

import json
import os
import sys
import time

import redis

FAIL_EVERY = 5  # one job in so many fails at first

what, host, port, names = sys.argv[1:5]
queues = names.split(",")
client = redis.Redis(host=host, port=int(port))


def fails(number, first):
    """Has a job fail that is to do so when it runs for the first time."""
    if number % FAIL_EVERY == 0 and first:
        raise RuntimeError("it fails at first")


def record(number):
    """What a job does: first in the cluster, then in the file of its worker."""
    client.sadd("effects", number)
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"{number}\n")
    return number


def add_all(jobs, add, refusal):
    """Adds each job until add does not raise refusal, and prints how often it did."""
    refused = 0
    for number in range(jobs):
        while True:
            try:
                add(number, queues[number % len(queues)])
                break
            except refusal:
                refused += 1
                time.sleep(0.05)
    print(refused)


def print_left(jobs, count):
    """Prints what count says has become of the jobs."""
    has = count(jobs)
    if has["Stranded"] and not has["Open"]:
        time.sleep(3)  # a job that was just taken is nowhere for a moment
        has = count(jobs)
    print(json.dumps(has))


def main(add, refusal, work, count):
    if what == "add":
        every = int(sys.argv[6])
        add_all(int(sys.argv[5]), lambda number, queue: add(number, queue, number % every == 0), refusal)
    elif what == "work":
        os.environ["JOURNAL"] = sys.argv[5]
        work()
    else:
        print_left(int(sys.argv[5]), count)
