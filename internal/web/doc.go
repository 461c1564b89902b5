// Package web is the HTTP listener of a node, for machines that watch it:
//
//	/metrics          for Prometheus
//	/health/live      200 while the process answers
//	/health/ready     200 if clients should be sent to this node, else 503
//	/health/cluster   200 if the cluster serves, else 503; says what it survives
//
// Health is told as one JSON object each. Nothing here changes anything.
package web
