package task

import "slices"

// moments tells when what has a place in a list came there. Places begin with the
// index of their batch, and batches have times; rows have none of that. The older a
// moment is, the less exactly it is known: to a 64th of its age.
type moments struct {
	list []moment // by index and by time
}

type moment struct {
	index uint64
	at    int64
}

// momentsMax bounds what is noted: 32 KiB.
const momentsMax = 2048

// note notes the time of a batch.
func (m *moments) note(index uint64, at int64) {
	if n := len(m.list); n > 0 && m.list[n-1].index >= index {
		return
	}
	if len(m.list) >= momentsMax {
		m.thin(at)
	}
	m.list = append(m.list, moment{index, at})
}

// thin forgets what lies so close between two others that it hardly matters now. What
// is left grows with the logarithm of the time: after ten days there are 1,300.
func (m *moments) thin(now int64) {
	kept := m.list[:1]
	for i := 1; i < len(m.list)-1; i++ {
		if m.list[i+1].at-kept[len(kept)-1].at > (now-m.list[i].at)/64 {
			kept = append(kept, m.list[i])
		}
	}
	m.list = append(kept, m.list[len(m.list)-1])
}

// of returns when what has a place came there, at the earliest when the first batch
// was noted: that of before is not known.
func (m *moments) of(order uint64) (at int64, ok bool) {
	i, found := slices.BinarySearchFunc(m.list, order>>orderBits, func(x moment, index uint64) int { return compare(x.index, index) })
	switch {
	case found:
		return m.list[i].at, true
	case len(m.list) == 0:
		return 0, false
	}
	return m.list[max(i-1, 0)].at, true
}
