package modes

import "tutti/internal/proof/mutant"

// Killer is the test that fails under a mutant, within KillMax.
type Killer struct {
	Mutant mutant.Mutant
	Test   Test
}

// Killers lists a killer for every mutant, in the order of the mutants.
func Killers() []Killer {
	return []Killer{
		{mutant.SkipLogFsync, shard("TestHostCrash")},
		{mutant.SkipCommitFsync, shard("TestConfChangeIsDurable")},
		{mutant.ForgetParentFsync, store("TestCreateIsDurable")},
		{mutant.SkipBallotVow, store("TestVowKeepsVotes")},
		{mutant.IgnoreVow, store("TestDamage")},
		{mutant.KeepVowAboveCut, store("TestCrashAnywhere")},
		{mutant.TornTailIsDamage, store("TestDamage")},
		{mutant.IgnoreEntryChecksum, store("TestDamage")},
		{mutant.KeepReplacedTail, store("TestStorageContract")},
		{mutant.ApplyWithoutIndex, store("TestCrashAnywhere")},
		{mutant.IngestWithoutMarker, store("TestCrashAnywhere")},
		{mutant.TruncateUndurable, shard("TestTruncateKeepsUndurable")},

		{mutant.AckBeforeCommit, sim("TestFault05UncommittedRead")},
		{mutant.EmptyWithoutReadIndex, shard("TestUnconfirmed")},
		{mutant.EmptyOfAnotherTerm, shard("TestEmptyBatchOfAnotherTerm")},
		{mutant.ReuseReadContext, shard("TestAnswerToOneRoundOnly")},
		{mutant.JoinRoundInFlight, shard("TestReadJoinsNextRound")},
		{mutant.ReadBeforeApplied, shard("TestReadWaitsForItsIndex")},
		{mutant.ReadFromTwoViews, sim("TestTransactionReadsOneState")},
		{mutant.LeaseRead, sim("TestLeaderBackFromPauseAnswersNothingOld")},
		{mutant.EvaluateBeforeOwnTerm, shard("TestHostCrash")},

		{mutant.DropSessionTable, sim("TestRepliesLostThenSentAgainApplyOnce")},
		{mutant.PruneUnacknowledged, shard("TestSessionPrune")},
		{mutant.AcceptOtherTerm, shard("TestAttempts")},
		{mutant.AcceptUnknownSession, shard("TestAttempts")},
		{mutant.ReevaluateReads, shard("TestRetryKeepsItsReads")},
		{mutant.TakeOlderAttempt, router("TestOlderAttemptIsIgnored")},
		{mutant.ReplyToOlderAttempt, shard("TestLatestAttemptIsAnswered")},

		{mutant.ExpireByLocalClock, sim("TestClockAnHourOffFiresNothing")},
		{mutant.TimeGoesBack, shard("TestClockAcrossLeaders")},
		{mutant.LeaveOutTime, shard("TestExpiredWithoutEffect")},
		{mutant.ReadUnrecordedExpiry, sim("TestReadOfExpiryWaitsForItsRecord")},
		{mutant.AbsentVersionZero, sim("TestShards")},
		{mutant.BelieveHeavyResult, shard("TestHeavyCore")},

		{mutant.EvaluateAmongReady, shard("TestConfChangesAmongBatches")},
		{mutant.DestroyDamaged, sim("TestDamagedMajorityDestroysNothing")},
	}
}
