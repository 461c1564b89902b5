"""A worker: worker.py HOST:PORT QUEUE. On an error of the connection it ends: started
again it has another name, so that what it held is handed out again after its lease."""
import os, sys, threading, time, uuid
import redis


def handle(payload):
    return payload.upper()  # your work


(host, port), queue, name = sys.argv[1].rsplit(":", 1), sys.argv[2], f"python-{uuid.uuid4()}"
do = redis.Redis(host, int(port)).execute_command


def beat():
    try:
        while True:
            do("TASK.BEAT", name)
            time.sleep(1)
    finally:
        os._exit(1)


threading.Thread(target=beat, daemon=True).start()
while True:
    for id, token, _, _, payload in do("TASK.CLAIM", name, "COUNT", 10, "BLOCK", 5000, "LEASE", 5000, "FROM", queue) or []:
        try:
            finish = "TASK.DONE", id, token, handle(payload)
        except Exception as error:
            finish = "TASK.FAIL", id, token, str(error)
        do(*finish)
