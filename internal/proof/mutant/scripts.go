package mutant

// scripts are the safeguards of scripts.
func scripts() []Mutant {
	return []Mutant{
		{"keep-ended-script", "a script that was ended by a limit leaves what it had done until then", eval("TestScriptThatIsEndedLeavesNothing"), []Edit{{
			"internal/command/script.go", `
			c.Error(errScriptEnded + err.Error() + ". Not applied.")`, `
			c.Writer.Error(errScriptEnded + err.Error() + ". Not applied.")`,
		}}},
		{"script-by-all-rights", "what a script calls is not looked at by the rights of its user", eval("TestScriptCallsByTheRightsOfItsUser"), []Edit{{
			"internal/command/script_rights.go", `
			if u == nil || u.Everything() {
				return ""
			}`, `
			if true {
				return ""
			}`,
		}}},
		{"libraries-by-epoch", "libraries are known by their epoch, which a batch that was lost had, too", eval("TestLibrariesOfALostBatch"), []Edit{{
			"internal/command/function.go", `
			setLibrariesEpoch(c, epoch+1, c.Tx.NewID())`, `
			setLibrariesEpoch(c, epoch+1, epoch+1)`,
		}}},
	}
}
