package shard

import (
	"context"
	"fmt"
	"log/slog"
)

// raftLogger passes etcd raft's messages on: what raft calls information is
// debugging to an operator; the replica logs role changes itself.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) Debug(v ...any)           {}
func (l raftLogger) Debugf(string, ...any)    {}
func (l raftLogger) Info(v ...any)            { l.debug(fmt.Sprint(v...)) }
func (l raftLogger) Infof(f string, v ...any) { l.debugf(f, v) }
func (l raftLogger) Warning(v ...any)         { l.log.Warn("raft", slog.String("text", fmt.Sprint(v...))) }
func (l raftLogger) Warningf(f string, v ...any) {
	l.log.Warn("raft", slog.String("text", fmt.Sprintf(f, v...)))
}
func (l raftLogger) Error(v ...any) { l.log.Error("raft", slog.String("text", fmt.Sprint(v...))) }
func (l raftLogger) Errorf(f string, v ...any) {
	l.log.Error("raft", slog.String("text", fmt.Sprintf(f, v...)))
}
func (l raftLogger) Fatal(v ...any)            { panic(fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
func (l raftLogger) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (l raftLogger) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }

func (l raftLogger) debug(text string) { l.log.Debug("raft", slog.String("text", text)) }

func (l raftLogger) debugf(f string, v []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.debug(fmt.Sprintf(f, v...))
	}
}
