// Package mutant breaks the product on purpose, one safeguard at a time, to
// show that the tests would notice if the code forgot it.
//
// At the place of a safeguard the product asks
//
//	if mutant.On(mutant.SkipLogFsync) { … }
//
// In a normal build On is the constant false: the compiler drops the question
// and what depends on it, which TestNothingRemains checks. With the build tag
// mutants, the environment variable TUTTI_MUTANT names the one safeguard that
// this process leaves out, so one test binary serves all of them. Which test
// kills which mutant stands in package internal/proof.
package mutant

import "fmt"

// Mutant is a safeguard that can be left out.
type Mutant uint8

// The mutants. Their names and what they break stand in the table below.
const (
	None Mutant = iota

	// The disk.
	SkipLogFsync
	SkipCommitFsync
	ForgetParentFsync
	SkipBallotVow
	IgnoreVow
	KeepVowAboveCut
	TornTailIsDamage
	IgnoreEntryChecksum
	KeepReplacedTail
	ApplyWithoutIndex
	IngestWithoutMarker
	TruncateUndurable

	// Answers.
	AckBeforeCommit
	EmptyWithoutReadIndex
	EmptyOfAnotherTerm
	ReuseReadContext
	JoinRoundInFlight
	ReadBeforeApplied
	ReadFromTwoViews
	LeaseRead
	EvaluateBeforeOwnTerm

	// Exactly once.
	DropSessionTable
	PruneUnacknowledged
	AcceptOtherTerm
	AcceptUnknownSession
	ReevaluateReads
	TakeOlderAttempt
	ReplyToOlderAttempt

	// Time and versions.
	ExpireByLocalClock
	TimeGoesBack
	LeaveOutTime
	ReadUnrecordedExpiry
	AbsentVersionZero
	BelieveHeavyResult

	// Repair.
	EvaluateAmongReady
	DestroyDamaged

	end
)

var table = [end]struct{ name, breaks string }{
	None: {"none", "nothing"},

	SkipLogFsync:        {"skip-log-fsync", "the raft log is written without an fsync"},
	SkipCommitFsync:     {"skip-commit-fsync", "a configuration change is applied before its commit is durable"},
	ForgetParentFsync:   {"forget-parent-fsync", "a folder in which files were made is not fsynced"},
	SkipBallotVow:       {"skip-ballot-vow", "a vote is answered before it is vowed for"},
	IgnoreVow:           {"ignore-vow", "a log that lost what it had promised is opened all the same"},
	KeepVowAboveCut:     {"keep-vow-above-cut", "a log that a new leader makes shorter still owes what was cut: every shorter log is damaged"},
	TornTailIsDamage:    {"torn-tail-is-damage", "a bad tail past the vow, a torn write, is taken for damage"},
	IgnoreEntryChecksum: {"ignore-entry-checksum", "an entry of the log is believed whatever its checksum says"},
	KeepReplacedTail:    {"keep-replaced-tail", "entries behind those that replace a part of the log stay on disk"},
	ApplyWithoutIndex:   {"apply-without-index", "a write set is applied without its applied index"},
	IngestWithoutMarker: {"ingest-without-marker", "a snapshot is ingested without the marker that lets a restart finish it"},
	TruncateUndurable:   {"truncate-undurable", "the log drops what the state store has applied but not made durable"},

	AckBeforeCommit:       {"ack-before-commit", "a write is answered when it is proposed"},
	EmptyWithoutReadIndex: {"empty-without-readindex", "a batch without effects is answered without asking whether this node still leads"},
	EmptyOfAnotherTerm:    {"empty-of-another-term", "a batch without effects is answered by a ReadIndex of a later term"},
	ReuseReadContext:      {"reuse-read-context", "all ReadIndex rounds of a replica have one context"},
	JoinRoundInFlight:     {"join-round-in-flight", "a read joins the ReadIndex round that began before it came"},
	ReadBeforeApplied:     {"read-before-applied", "a read is served before the state has reached its ReadIndex"},
	ReadFromTwoViews:      {"read-from-two-views", "the reads of one transaction are served from several views"},
	LeaseRead:             {"lease-read", "reads rely on etcd raft's lease (ReadOnlyLeaseBased)"},
	EvaluateBeforeOwnTerm: {"evaluate-before-own-term", "a new leader evaluates before an entry of its own term is applied"},

	DropSessionTable:     {"drop-session-table", "a new leader does not load the recorded replies"},
	PruneUnacknowledged:  {"prune-unacknowledged", "a raised floor removes replies above it, too"},
	AcceptOtherTerm:      {"accept-other-term", "an attempt meant for another term is evaluated"},
	AcceptUnknownSession: {"accept-unknown-session", "a group of a session that nobody knows is executed"},
	ReevaluateReads:      {"reevaluate-reads", "the reads of a retried group are evaluated again, after its own writes"},
	TakeOlderAttempt:     {"take-older-attempt", "the entry node takes the reply of an attempt that it has given up"},
	ReplyToOlderAttempt:  {"reply-to-older-attempt", "of two attempts under way the leader answers the first"},

	ExpireByLocalClock:   {"expire-by-local-clock", "the leader's own wall clock decides what has expired"},
	TimeGoesBack:         {"time-goes-back", "a new leader's shard time starts at its own clock, even if that is earlier"},
	LeaveOutTime:         {"leave-out-time", "a batch that found a key expired and wrote nothing leaves no record of the time"},
	ReadUnrecordedExpiry: {"read-unrecorded-expiry", "a read that found a key expired is answered before the time is recorded"},
	AbsentVersionZero:    {"absent-version-zero", "an absent key always has version 0 for WATCH"},
	BelieveHeavyResult:   {"believe-heavy-result", "what was evaluated beside the loop is applied whatever has changed since"},

	EvaluateAmongReady: {"evaluate-among-ready", "a batch is evaluated for an index that a change of the configuration takes"},
	DestroyDamaged:     {"destroy-damaged", "damaged data is removed before the others have taken the node in again"},
}

// All lists the mutants.
func All() []Mutant {
	all := make([]Mutant, 0, end-1)
	for m := None + 1; m < end; m++ {
		all = append(all, m)
	}
	return all
}

// String is the name by which Env chooses the mutant.
func (m Mutant) String() string { return table[m].name }

// Breaks says in one sentence what the mutant does wrong.
func (m Mutant) Breaks() string { return table[m].breaks }

// Env names the environment variable that chooses a mutant, in builds with the
// tag mutants.
const Env = "TUTTI_MUTANT"

// Parse returns the mutant called name.
func Parse(name string) (Mutant, error) {
	for m, row := range table {
		if row.name == name {
			return Mutant(m), nil
		}
	}
	return None, fmt.Errorf("no mutant is called %q", name)
}
