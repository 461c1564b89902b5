"""A program that uses RQ: it adds jobs, works, and says what is left of them.

    rq_jobs.py add  HOST PORT QUEUES JOBS DELAY-EVERY
    rq_jobs.py work HOST PORT QUEUES JOURNAL
    rq_jobs.py left HOST PORT QUEUES JOBS
"""

import json
import os
import sys
import time
from datetime import timedelta

import redis
from rq import Queue, Retry, Worker, get_current_job
from rq.job import Job
from rq.registry import (FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry,
                         StartedJobRegistry, clean_registries)

ATTEMPTS = 1000
FAIL_EVERY = 5

what, host, port, names = sys.argv[1:5]
client = redis.Redis(host=host, port=int(port))
queues = [Queue(name, connection=client) for name in names.split(",")]


def job(number):
    if number % FAIL_EVERY == 0 and get_current_job().retries_left == ATTEMPTS:
        raise RuntimeError("it fails at first")
    client.sadd("effects", number)
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"{number}\n")
    return number


def add(jobs, delay_every):
    refused = 0
    for number in range(jobs):
        options = dict(job_id=f"job-{number}", job_timeout=30, result_ttl=3600,
                       retry=Retry(max=ATTEMPTS, interval=1))
        queue = queues[number % len(queues)]
        while True:
            try:
                # Told again what it has, RQ would have the job twice.
                if not Job.exists(f"job-{number}", connection=client):
                    if number % delay_every == 0:
                        queue.enqueue_in(timedelta(seconds=3), "rq_jobs.job", number, **options)
                    else:
                        queue.enqueue("rq_jobs.job", number, **options)
                break
            except redis.RedisError:
                refused += 1
                time.sleep(0.05)
    print(refused)


def work(journal):
    os.environ["JOURNAL"] = journal
    Worker(queues, connection=client).work(with_scheduler=True, logging_level="WARNING")


def count(jobs):
    has = dict(Open=0, Given=0, Completed=0, Stranded=0)
    known = set()
    for queue in queues:
        clean_registries(queue)
        waiting = queue.get_job_ids()
        for registry in (StartedJobRegistry, ScheduledJobRegistry):
            waiting += registry(queue=queue).get_job_ids()
        failed = FailedJobRegistry(queue=queue).get_job_ids()
        done = FinishedJobRegistry(queue=queue).get_job_ids()
        has["Open"] += len(waiting)
        has["Given"] += len(failed)
        has["Completed"] += len(done)
        known.update(waiting, failed, done)
    has["Stranded"] = sum(1 for number in range(jobs) if f"job-{number}" not in known)
    return has


def left(jobs):
    has = count(jobs)
    if has["Stranded"] and not has["Open"]:
        # A job that was just taken is nowhere for a moment.
        time.sleep(3)
        has = count(jobs)
    print(json.dumps(has))


if __name__ == "__main__":
    if what == "add":
        add(int(sys.argv[5]), int(sys.argv[6]))
    elif what == "work":
        work(sys.argv[5])
    else:
        left(int(sys.argv[5]))
