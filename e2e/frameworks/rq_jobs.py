"""A program that uses RQ; see jobs.py."""

from datetime import timedelta

import redis
from rq import Queue, Retry, Worker, get_current_job
from rq.job import Job
from rq.registry import (FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry,
                         StartedJobRegistry, clean_registries)

import jobs

ATTEMPTS = 1000

queues = {name: Queue(name, connection=jobs.client) for name in jobs.queues}


def job(number):
    jobs.fails(number, get_current_job().retries_left == ATTEMPTS)
    return jobs.record(number)


def add(number, queue, later):
    name = f"job-{number}"
    # Told again what it has, RQ would have the job twice.
    if Job.exists(name, connection=jobs.client):
        return
    options = dict(job_id=name, job_timeout=30, result_ttl=3600, retry=Retry(max=ATTEMPTS, interval=1))
    if later:
        queues[queue].enqueue_in(timedelta(seconds=3), "rq_jobs.job", number, **options)
    else:
        queues[queue].enqueue("rq_jobs.job", number, **options)


def work(worker=Worker):
    worker(list(queues.values()), connection=jobs.client).work(with_scheduler=True, logging_level="WARNING")


def count(total):
    has = dict(Open=0, Given=0, Completed=0, Stranded=0)
    known = set()
    for queue in queues.values():
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
    has["Stranded"] = sum(1 for number in range(total) if f"job-{number}" not in known)
    return has


if __name__ == "__main__":
    jobs.main(add, redis.RedisError, work, count)
