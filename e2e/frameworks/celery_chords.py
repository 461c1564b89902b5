"""A program that uses Celery's chords: of CHORD jobs one after the other the last is told the
results of all others, once they have ended. See jobs.py."""

import sys

from celery import chord
from kombu.exceptions import OperationalError

import celery_jobs
import jobs
from celery_jobs import app, job, told

CHORD = 10


@app.task(bind=True, name="join", max_retries=1000, default_retry_delay=1)
def join(self, results, number):
    if sorted(results) != list(parts(number)):
        raise ValueError(f"{number} was told {results}")
    return jobs.record(number)


def parts(last):
    """The jobs whose results the last one of a chord is told."""
    return range(last - last % CHORD, last)


class Adder:
    """Adds a chord when it is told its last job."""

    def __init__(self):
        self.waiting = {}

    def add(self, number, queue, later):
        self.waiting[number] = job.s(number).set(**told(number, queue, later))
        if number % CHORD == CHORD - 1:
            chord([self.waiting[n] for n in parts(number)])(join.s(number).set(**told(number, queue)))
            self.waiting.clear()


def count(total):
    """Says also which chords do not end, and how far they have come, for those who look."""
    states, waiting = celery_jobs.ended(total), celery_jobs.waits()
    has = dict(Open=0, Given=states.count("FAILURE"), Completed=states.count("SUCCESS"), Stranded=0, Held=0)
    for number, state in enumerate(states):
        if state in ("SUCCESS", "FAILURE"):
            continue
        if waiting:
            has["Open"] += 1
        elif number % CHORD == CHORD - 1 and any(states[n] != "SUCCESS" for n in parts(number)):
            has["Held"] += 1
        else:
            has["Stranded"] += 1
    return has


if __name__ == "__main__":
    if jobs.what == "add" and int(sys.argv[5]) % CHORD != 0:
        sys.exit(f"the number of jobs is to be a multiple of {CHORD}")
    jobs.main(Adder().add, OperationalError, celery_jobs.work, count)
