package meta

import (
	"slices"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// Forsake returns what makes a node the only member of the cluster whose map r
// holds, once its replicas are the only ones, as descs say. It is for a cluster
// that has lost its majority for ever, and so happens outside of any log; ids of
// nodes that were members are not given out again.
func Forsake(r keyspace.Reader, node cluster.NodeID, descs []cluster.Descriptor) (m *cluster.Map, put []Row, drop [][]byte, err error) {
	before, err := Load(r)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err = before.Change(func(next *cluster.Map) {
		next.Members = slices.DeleteFunc(next.Members, func(x cluster.Member) bool { return x.ID != node })
		for i := range next.Members {
			next.Members[i].State = cluster.Active
		}
		for _, d := range descs {
			next.SetShard(cluster.Shard{Descriptor: d})
		}
		next.Replan()
	})
	if err != nil {
		return nil, nil, nil, err
	}
	for _, row := range Rows(before) {
		drop = append(drop, row.Key)
	}
	for _, row := range Rows(m) {
		drop = slices.DeleteFunc(drop, func(key []byte) bool { return slices.Equal(key, row.Key) })
		if row.Key[len(keyspace.MetaRow(0))-1] != rowNext {
			put = append(put, row)
		}
	}
	return m, put, drop, nil
}
