package command

import "strings"

// tips says what clients of clusters and those who compare replies should know of
// commands, in the words of COMMAND INFO: to whom a command would have to be sent, how
// the replies go together, and which replies are not the same each time.
var tips = []struct{ commands, tips string }{
	{"client|info client|list cluster|bumpepoch cluster|getkeysinslot cluster|info cluster|links cluster|nodes cluster|shards cluster|slots dump hrandfield hscan lastsave object|encoding object|freq object|idletime object|refcount pttl spop srandmember sscan time ttl zrandmember zscan",
		"nondeterministic_output"},
	{"command command|docs command|info command|list function|list hgetall hkeys hvals module|list sdiff sinter smembers sunion",
		"nondeterministic_output_order"},
	{"client|setinfo client|setname config|set latency|reset script|flush slowlog|reset", "request_policy:all_nodes response_policy:all_succeeded"},
	{"flushall flushdb function|flush ping", "request_policy:all_shards response_policy:all_succeeded"},
	{"del exists touch unlink", "request_policy:multi_shard response_policy:agg_sum"},
	{"mget", "request_policy:multi_shard"},
	{"mset", "request_policy:multi_shard response_policy:all_succeeded"},
	{"msetnx", "request_policy:multi_shard response_policy:agg_min"},
	{"dbsize", "request_policy:all_shards response_policy:agg_sum"},
	{"keys", "request_policy:all_shards nondeterministic_output_order"},
	{"randomkey", "request_policy:all_shards response_policy:special nondeterministic_output"},
	{"scan", "nondeterministic_output request_policy:special response_policy:special"},
	{"wait waitaof", "request_policy:all_shards response_policy:agg_min"},
	{"script|exists", "request_policy:all_shards response_policy:agg_logical_and"},
	{"function|stats info memory|doctor memory|malloc-stats memory|stats", "nondeterministic_output request_policy:all_shards response_policy:special"},
	{"memory|purge", "request_policy:all_shards response_policy:all_succeeded"},
	{"latency|doctor latency|graph latency|histogram latency|history latency|latest", "nondeterministic_output request_policy:all_nodes response_policy:special"},
	{"slowlog|get", "request_policy:all_nodes nondeterministic_output"},
	{"slowlog|len", "request_policy:all_nodes response_policy:agg_sum nondeterministic_output"},
}

// Tips lists what COMMAND INFO says of c as tips.
func (c *Command) Tips() []string {
	for _, row := range tips {
		if strings.Contains(" "+row.commands+" ", " "+c.Name+" ") {
			return strings.Fields(row.tips)
		}
	}
	return nil
}
