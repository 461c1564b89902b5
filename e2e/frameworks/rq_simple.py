"""A program that uses RQ with its SimpleWorker, which executes jobs itself; see rq_jobs.py.

RQ's Worker makes a process for each job, and how fast it does that is the machine's.
"""

import redis
from rq import SimpleWorker

import jobs
import rq_jobs

if __name__ == "__main__":
    jobs.main(rq_jobs.add, redis.RedisError, lambda: rq_jobs.work(SimpleWorker), rq_jobs.count)
