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
}

// remains is what a framework has of the jobs that were added.
type remains struct {
	Open      int // they wait, or run
	Given     int // given up after too many attempts
	Completed int
	// Stranded are jobs that nobody will run, as the framework has taken them out of its
	// queue and not noted yet who runs them when the worker was killed.
	Stranded int
}

// frameworks by the names under which they are tried.
func frameworks() map[string]framework {
	return map[string]framework{
		"asynq":  asynqJobs{},
		"celery": &python{module: "celery", pkg: "python3-celery", program: "celery_jobs.py"},
		"rq":     &python{module: "rq", pkg: "python3-rq", program: "rq_jobs.py"},
	}
}

// What the programs agree on.
const (
	effects    = "effects" // the set of the jobs that were executed
	failEvery  = 5         // one job in so many fails at first
	delayEvery = 7         // and one is to run later
)
