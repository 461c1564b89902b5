package main

import "context"

// framework is a job framework as it comes, with a program that uses it.
type framework interface {
	// install brings what it needs; what it writes goes into dir.
	install(dir string) error
	// worker is the command of a worker, which runs until it is told to end. It records
	// in the cluster what each job does, and then in a line of the file journal.
	worker(t *trial, journal string) []string
	// add adds the jobs, each until the framework says that it is there, and returns how
	// often one was refused meanwhile.
	add(ctx context.Context, t *trial) (refused int, err error)
	// left says what has become of the jobs.
	left(ctx context.Context, t *trial) (remains, error)
	// taken is how many jobs the framework may lose when a worker is killed, and does so
	// by design: it takes a job out of its queue and keeps it only in the worker. Workers
	// of such a framework are asked to end instead, as it wants it; 0: it loses none, or
	// only one that is being taken.
	taken() int
}

// remains is what a framework has of the jobs that were added.
type remains struct {
	Open      int // they wait, or run
	Given     int // given up after too many attempts
	Completed int
	// Stranded are jobs that nobody will run, as the framework has taken them out of its
	// queue and not noted yet who runs them when the worker was killed.
	Stranded int
	// Held are jobs that will not run as they are to have the results of one of those.
	Held int
}

// frameworks by the names under which they are tried.
func frameworks() map[string]framework {
	return map[string]framework{
		"asynq":         asynqJobs{},
		"bullmq":        &program{interpreter: "node", file: "bullmq/jobs.js", bring: bringBullMQ},
		"celery":        &program{interpreter: python, file: "celery_jobs.py", bring: debianPython("celery", "python3-celery")},
		"celery-chords": &program{interpreter: python, file: "celery_chords.py", bring: debianPython("celery", "python3-celery")},
		"rq":            &program{interpreter: python, file: "rq_jobs.py", bring: debianPython("rq", "python3-rq")},
		"rq-simple":     &program{interpreter: python, file: "rq_simple.py", bring: debianPython("rq", "python3-rq")},
		"sidekiq":       &program{interpreter: ruby, file: "sidekiq_jobs.rb", bring: bringSidekiq, loses: sidekiqThreads},
	}
}

// What the programs agree on.
const (
	effects    = "effects" // the set of the jobs that were executed
	failEvery  = 5         // one job in so many fails at first
	delayEvery = 7         // and one is to run later

	sidekiqThreads = 4 // of a worker
)
