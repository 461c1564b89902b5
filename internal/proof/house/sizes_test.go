package house_test

import (
	"go/ast"
	"testing"
)

// A type with more fields or methods than this is several things in one room.
const (
	fieldsMax  = 20
	methodsMax = 30
)

// tooLarge are the types beyond that, with what they may have at most: a debt,
// which may only become smaller. Who makes one smaller lowers its numbers, and
// who brings it below the bounds takes its line out.
var tooLarge = map[string]struct{ fields, methods int }{
	"internal/command.Ctx":       {7, 111}, // helpers of all command families
	"internal/keyspace.Object":   {15, 75}, // one method per operation on each type
	"internal/keyspace.Tx":       {13, 43},
	"internal/proof/sim.Cluster": {8, 67},
	"internal/proof/sim.Nemesis": {9, 46},
}

func TestNoTypeIsTooLarge(t *testing.T) {
	type size struct{ fields, methods int }
	sizes := make(map[string]*size)
	of := func(name string) *size {
		if sizes[name] == nil {
			sizes[name] = new(size)
		}
		return sizes[name]
	}
	for _, f := range parsed(t) {
		if f.test {
			continue
		}
		for _, d := range f.file.Decls {
			if m, ok := d.(*ast.FuncDecl); ok && m.Recv != nil {
				of(f.pkg+"."+receiver(m)).methods++
			}
		}
		ast.Inspect(f.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				of(f.pkg + "." + spec.Name.Name).fields += s.Fields.NumFields()
			}
			return true
		})
	}
	for name, s := range sizes {
		may, debt := tooLarge[name]
		large := s.fields > fieldsMax || s.methods > methodsMax
		switch {
		case debt && !large:
			t.Errorf("%s has become small: take it out of the table", name)
		case large && !debt:
			t.Errorf("%s has %d fields and %d methods, of at most %d and %d", name, s.fields, s.methods, fieldsMax, methodsMax)
		case debt && (s.fields > may.fields || s.methods > may.methods):
			t.Errorf("%s has grown to %d fields and %d methods; it is too large at %d and %d", name, s.fields, s.methods, may.fields, may.methods)
		}
	}
	for name := range tooLarge {
		if sizes[name] == nil {
			t.Errorf("%s does not exist", name)
		}
	}
}
