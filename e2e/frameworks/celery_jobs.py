"""A program that uses Celery; see jobs.py."""

import json
import os

from celery import Celery
from kombu.exceptions import OperationalError

import jobs

# After so many seconds a message is handed out again that was not acknowledged.
VISIBILITY = 15

url = f"redis://{jobs.host}:{jobs.port}/0"
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
    try:
        jobs.fails(number, self.request.retries == 0)
    except RuntimeError as e:
        raise self.retry(exc=e)
    return jobs.record(number)


def told(number, queue, later=False):
    """What a job is told beside its arguments."""
    return dict(task_id=f"job-{number}", queue=queue, countdown=3 if later else None)


def add(number, queue, later):
    job.apply_async((number,), **told(number, queue, later))


def work():
    app.worker_main(["worker", "--concurrency=2", "--loglevel=WARNING", f"--queues={jobs.names}",
                     f"--hostname={os.getpid()}@%h"])


def ended(total):
    """The state of each job."""
    states = []
    for number in range(total):
        raw = jobs.client.get(f"celery-task-meta-job-{number}")
        states.append(json.loads(raw)["status"] if raw else "PENDING")
    return states


def waits():
    """How many jobs are in a queue, or with a worker."""
    return sum(jobs.client.llen(name) for name in jobs.queues) + jobs.client.hlen("unacked")


def count(total):
    states, waiting = ended(total), waits()
    done, given = states.count("SUCCESS"), states.count("FAILURE")
    rest = total - done - given
    return dict(Open=rest if waiting else 0, Given=given, Completed=done, Stranded=0 if waiting else rest)


if __name__ == "__main__":
    jobs.main(add, OperationalError, work, count)
