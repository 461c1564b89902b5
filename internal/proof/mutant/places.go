package mutant

// places are safeguards of where replicas are: without them the cluster gives
// votes away that nobody takes over, or takes nodes for dead that are not.
func places() []Mutant {
	cluster := func(name string) Killer { return Killer{"internal/cluster", name} }
	node := func(name string) Killer { return Killer{"internal/node", name} }
	return []Mutant{
		{"dead-lose-their-vote", "a dead voter loses its vote though nobody can take it over", cluster("TestPlan"), []Edit{{
			"internal/cluster/plan.go", `
	for _, c := range p.dead {
		if len(voters) < n {`, `
	for _, c := range p.dead {
		if false {`,
		}}},
		{"even-voters", "an even number of replicas votes", cluster("TestPlan"), []Edit{{
			"internal/cluster/plan.go", `
	return voters[:len(voters)-(len(voters)+1)%2] // an even one more survives nothing more`, `
	return voters`,
		}}},
		{"everybody-gives-up", "a node that is cut off gives all others up", node("TestOnlyMetasLeaderTells"), []Edit{{
			"internal/node/deadwatch.go", `
		if verb != "" && w.leads() {`, `
		if verb != "" {`,
		}}},
		{"drain-to-one-copy", "a drain leaves one copy to decide without a word", sim("TestClusterPlacesItself"), []Edit{{
			"internal/meta/state.go", `
		case !acceptOneCopy && votes(plan) == 1 && len(s.Voters()) > 1:`, `
		case false:`,
		}}},
		{"read-of-a-replica-that-left", "a read whose replica leaves its node fails", sim("TestCommandsGoOnWhileReplicasMove"), []Edit{{
			"internal/server/lane.go", `
	return text == router.ErrRead(id) && l.router.Away(id)`, `
	return false`,
		}}},
	}
}
