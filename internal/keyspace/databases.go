package keyspace

import (
	"fmt"
	"slices"
)

// LogicalDatabases is the number of databases that SELECT accepts.
const LogicalDatabases = 16

// Databases maps logical to physical databases. It is a value: a change makes
// a new one, so that readers of an older state keep theirs.
type Databases struct {
	physical [LogicalDatabases]uint32
	next     uint32
	// trash holds the physical databases that were flushed and may still have
	// rows; the background removes those.
	trash []uint32
}

// NewDatabases returns the mapping of an empty keyspace.
func NewDatabases() *Databases {
	d := &Databases{next: LogicalDatabases}
	for i := range d.physical {
		d.physical[i] = uint32(i)
	}
	return d
}

// Physical returns the number that rows of logical database db carry.
func (d *Databases) Physical(db uint8) uint32 { return d.physical[db] }

// Logical returns the database that is physical database pdb; ok is false if it was
// flushed.
func (d *Databases) Logical(pdb uint32) (db uint8, ok bool) {
	at := slices.Index(d.physical[:], pdb)
	return uint8(max(at, 0)), at >= 0
}

// SameAs reports whether all logical databases are those of e.
func (d *Databases) SameAs(e *Databases) bool { return d.physical == e.physical }

// Trash lists flushed physical databases, oldest first. Not to be changed.
func (d *Databases) Trash() []uint32 { return d.trash }

// Flush gives logical database db a fresh physical one.
func (d *Databases) Flush(db uint8) *Databases {
	n := *d
	n.trash = append(append([]uint32(nil), d.trash...), d.physical[db])
	n.physical[db] = n.next
	n.next++
	return &n
}

// Swap exchanges two logical databases.
func (d *Databases) Swap(a, b uint8) *Databases {
	n := *d
	n.physical[a], n.physical[b] = d.physical[b], d.physical[a]
	return &n
}

// Purged forgets physical database pdb after its rows have been removed.
func (d *Databases) Purged(pdb uint32) *Databases {
	n := *d
	n.trash = nil
	for _, p := range d.trash {
		if p != pdb {
			n.trash = append(n.trash, p)
		}
	}
	return &n
}

const databasesFormat = 1

// Encode returns the row value: format:1 next:4 physical:16×4 trash:n×4.
func (d *Databases) Encode() []byte {
	b := be.AppendUint32([]byte{databasesFormat}, d.next)
	for _, p := range d.physical {
		b = be.AppendUint32(b, p)
	}
	for _, p := range d.trash {
		b = be.AppendUint32(b, p)
	}
	return b
}

// DecodeDatabases reads what Encode wrote.
func DecodeDatabases(b []byte) (*Databases, error) {
	const fixed = 1 + 4 + 4*LogicalDatabases
	if len(b) > 0 && b[0] > databasesFormat {
		return nil, &RowError{What: "row of databases", Format: b[0]}
	}
	if len(b) < fixed || b[0] != databasesFormat || (len(b)-fixed)%4 != 0 {
		return nil, &RowError{What: fmt.Sprintf("row of databases of %d bytes", len(b))}
	}
	d := &Databases{next: be.Uint32(b[1:])}
	for i := range d.physical {
		d.physical[i] = be.Uint32(b[5+4*i:])
	}
	for b = b[fixed:]; len(b) > 0; b = b[4:] {
		d.trash = append(d.trash, be.Uint32(b))
	}
	return d, nil
}
