"""A program that uses Celery: it adds jobs, works, and says what is left of them.

    celery_jobs.py add  HOST PORT QUEUES JOBS DELAY-EVERY
    celery_jobs.py work HOST PORT QUEUES JOURNAL
    celery_jobs.py left HOST PORT QUEUES JOBS
"""

import json
import os
import sys
import time

import redis
from celery import Celery
from kombu.exceptions import OperationalError

FAIL_EVERY = 5
# After so many seconds a message is handed out again that was not acknowledged.
VISIBILITY = 15

what, host, port, names = sys.argv[1:5]
queues = names.split(",")
url = f"redis://{host}:{port}/0"
client = redis.Redis(host=host, port=int(port))
app = Celery("celery_jobs", broker=url, backend=url)
app.conf.update(
    task_acks_late=True,  # a job of a worker that dies is not lost
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": VISIBILITY},
    result_expires=3600,
)


@app.task(bind=True, name="job", max_retries=1000, default_retry_delay=1)
def job(self, number):
    if number % FAIL_EVERY == 0 and self.request.retries == 0:
        raise self.retry(exc=RuntimeError("it fails at first"))
    client.sadd("effects", number)
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"{number}\n")
    return number


def add(jobs, delay_every):
    refused = 0
    for number in range(jobs):
        delay = 3 if number % delay_every == 0 else None
        while True:
            try:
                job.apply_async((number,), task_id=f"job-{number}", queue=queues[number % len(queues)], countdown=delay)
                break
            except OperationalError:
                refused += 1
                time.sleep(0.05)
    print(refused)


def work(journal):
    os.environ["JOURNAL"] = journal
    app.worker_main(["worker", "--concurrency=2", "--loglevel=WARNING", f"--queues={','.join(queues)}",
                     f"--hostname={os.getpid()}@%h"])


def count(jobs):
    states = {}
    for number in range(jobs):
        raw = client.get(f"celery-task-meta-job-{number}")
        states[number] = json.loads(raw)["status"] if raw else "PENDING"
    waiting = sum(client.llen(name) for name in queues) + client.hlen("unacked")
    return states, waiting


def left(jobs):
    states, waiting = count(jobs)
    if not waiting:
        # A message that was just taken is nowhere for a moment.
        time.sleep(3)
        states, waiting = count(jobs)
    done = sum(1 for s in states.values() if s == "SUCCESS")
    given = sum(1 for s in states.values() if s == "FAILURE")
    open_ = jobs - done - given
    print(json.dumps(dict(Open=open_ if waiting else 0, Given=given, Completed=done, Stranded=0 if waiting else open_)))


if __name__ == "__main__":
    if what == "add":
        add(int(sys.argv[5]), int(sys.argv[6]))
    elif what == "work":
        work(sys.argv[5])
    else:
        left(int(sys.argv[5]))
