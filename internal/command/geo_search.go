package command

import (
	"bytes"
	"cmp"
	"slices"

	"tutti/internal/geohash"
	"tutti/internal/keyspace"
)

func geosearch(c *Ctx) {
	if q, ok := newGeoQuery(c, 1); ok && q.options(2, geoSearchOptions) {
		q.answer()
	}
}

func geosearchstore(c *Ctx) {
	q, ok := newGeoQuery(c, 2)
	if !ok {
		return
	}
	q.store = c.Args[1]
	if q.options(3, geoSearchOptions|geoStoreDist) {
		q.answer()
	}
}

func georadius(c *Ctx)           { searchRadius(c, geoStore) }
func georadiusRO(c *Ctx)         { searchRadius(c, 0) }
func georadiusbymember(c *Ctx)   { searchRadiusByMember(c, geoStore) }
func georadiusbymemberRO(c *Ctx) { searchRadiusByMember(c, 0) }

func searchRadius(c *Ctx, options geoOptions) {
	q, ok := newGeoQuery(c, 1)
	if !ok {
		return
	}
	if q.shape.Center, ok = position(c, 2); ok && q.circle(4) && q.options(6, options) {
		q.answer()
	}
}

// searchRadiusByMember does not look at the radius if the key is absent, as Redis
// does not.
func searchRadiusByMember(c *Ctx, options geoOptions) {
	q, ok := newGeoQuery(c, 1)
	if ok && (q.source == nil || q.around(2) && q.circle(3)) && q.options(5, options) {
		q.answer()
	}
}

// geoQuery is a search for positions.
type geoQuery struct {
	c      *Ctx
	source *keyspace.Object // nil: absent
	shape  geohash.Shape
	unit   float64 // of distances, in metres

	fromMember, fromPoint, byCircle, byBox bool // of GEOSEARCH: given
	withDist, withHash, withCoord          bool
	any, nearest, farthest                 bool
	count                                  int64  // 0: all
	store                                  []byte // key to store the result at; nil: answer with it
	storeDist                              bool   // distances are stored instead of positions
}

// geoFound is a member that was found.
type geoFound struct {
	keyspace.ZMember
	at       geohash.Point
	distance float64 // in metres
}

// newGeoQuery opens the key that is argument i, or answers the error.
func newGeoQuery(c *Ctx, i int) (q *geoQuery, ok bool) {
	q = &geoQuery{c: c, unit: 1}
	q.source, ok = c.open(c.Args[i], keyspace.TypeZSet)
	return q, ok
}

// around makes the member that is argument i the centre, or answers the error.
func (q *geoQuery) around(i int) (ok bool) {
	if q.shape.Center, ok = positionOf(q.source, q.c.Args[i]); !ok {
		q.c.Error("ERR could not decode requested zset member")
	}
	return ok
}

// length parses argument i as a length, or answers the error.
func (q *geoQuery) length(i int, what string) (f float64, ok bool) {
	if f, ok = parseFloat(q.c.Args[i]); !ok {
		q.c.Error("ERR need numeric " + what)
	}
	return f, ok
}

// circle parses a radius and its unit from argument i on, or answers the error.
func (q *geoQuery) circle(i int) bool {
	radius, ok := q.length(i, "radius")
	switch {
	case !ok:
		return false
	case radius < 0:
		q.c.Error("ERR radius cannot be negative")
		return false
	}
	if q.unit, ok = metres(q.c, i+1); !ok {
		return false
	}
	q.shape.Box, q.shape.Radius = false, radius*q.unit
	return true
}

// box parses width, height and their unit from argument i on, or answers the error.
func (q *geoQuery) box(i int) bool {
	width, ok := q.length(i, "width")
	if !ok {
		return false
	}
	height, ok := q.length(i+1, "height")
	switch {
	case !ok:
		return false
	case width < 0 || height < 0:
		q.c.Error("ERR height or width cannot be negative")
		return false
	}
	if q.unit, ok = metres(q.c, i+2); !ok {
		return false
	}
	q.shape.Box, q.shape.Width, q.shape.Height = true, width*q.unit, height*q.unit
	return true
}

// geoOptions says which options a command of the family takes.
type geoOptions byte

const (
	geoSearchOptions geoOptions = 1 << iota // centre and shape are options
	geoStoreDist                            // STOREDIST is a word alone
	geoStore                                // STORE key, STOREDIST key
)

// options parses the options from argument i on and judges them together, or answers
// the error.
func (q *geoQuery) options(i int, takes geoOptions) bool {
	for i < len(q.c.Args) {
		n, ok := q.word(i), true
		if n == 0 {
			n, ok = q.option(i, len(q.c.Args)-i-1, takes)
		}
		if !ok {
			return false
		}
		i += n
	}
	name := string(q.c.Args[0])
	switch {
	case q.store != nil && (q.withDist || q.withHash || q.withCoord):
		who := "STORE option in GEORADIUS"
		if takes&geoSearchOptions != 0 {
			who = "GEOSEARCHSTORE"
		}
		q.c.Error("ERR " + who + " is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
	case takes&geoSearchOptions != 0 && !q.fromMember && !q.fromPoint:
		q.c.Error("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for " + name)
	case takes&geoSearchOptions != 0 && !q.byCircle && !q.byBox:
		q.c.Error("ERR exactly one of BYRADIUS and BYBOX can be specified for " + name)
	case q.any && q.count == 0:
		q.c.Error("ERR the ANY argument requires COUNT argument")
	default:
		return true
	}
	return false
}

// word takes argument i if it is an option of one word that all take, and returns how
// many it has taken.
func (q *geoQuery) word(i int) (n int) {
	switch c := q.c; {
	case c.is(i, "WITHDIST"):
		q.withDist = true
	case c.is(i, "WITHHASH"):
		q.withHash = true
	case c.is(i, "WITHCOORD"):
		q.withCoord = true
	case c.is(i, "ANY"):
		q.any = true
	case c.is(i, "ASC"):
		q.nearest, q.farthest = true, false
	case c.is(i, "DESC"):
		q.nearest, q.farthest = false, true
	default:
		return 0
	}
	return 1
}

// option takes the option that begins at argument i, with more behind it, and returns
// how many arguments it has, or answers the error.
func (q *geoQuery) option(i, more int, takes geoOptions) (n int, ok bool) {
	c, search := q.c, takes&geoSearchOptions != 0
	switch {
	case more >= 1 && c.is(i, "COUNT"):
		if q.count, ok = c.int(i + 1); ok && q.count <= 0 {
			c.Error("ERR COUNT must be > 0")
			return 0, false
		}
		return 2, ok
	case takes&geoStore != 0 && more >= 1 && (c.is(i, "STORE") || c.is(i, "STOREDIST")):
		q.store, q.storeDist = c.Args[i+1], c.is(i, "STOREDIST")
		return 2, true
	case takes&geoStoreDist != 0 && c.is(i, "STOREDIST"):
		q.storeDist = true
		return 1, true
	case search && more >= 1 && !q.fromPoint && c.is(i, "FROMMEMBER"):
		q.fromMember = true
		return 2, q.source == nil || q.around(i+1)
	case search && more >= 2 && !q.fromMember && c.is(i, "FROMLONLAT"):
		q.fromPoint = true
		q.shape.Center, ok = position(c, i+1)
		return 3, ok
	case search && more >= 2 && !q.byBox && c.is(i, "BYRADIUS"):
		q.byCircle = true
		return 3, q.circle(i + 1)
	case search && more >= 3 && !q.byCircle && c.is(i, "BYBOX"):
		q.byBox = true
		return 4, q.box(i + 1)
	}
	c.Error(TextSyntax)
	return 0, false
}

// answer searches, and stores what it finds or answers with it.
func (q *geoQuery) answer() {
	if q.source == nil && q.store == nil {
		q.c.Array(0)
		return
	}
	found := q.find()
	if q.store != nil {
		ms := make([]keyspace.ZMember, len(found))
		for i, f := range found {
			if ms[i] = f.ZMember; q.storeDist {
				ms[i].Score = f.distance / q.unit
			}
		}
		q.c.storeMembers(q.store, ms)
		return
	}
	extras := 0
	for _, with := range [...]bool{q.withDist, q.withHash, q.withCoord} {
		if with {
			extras++
		}
	}
	q.c.Array(len(found))
	for _, f := range found {
		if extras > 0 {
			q.c.Array(1 + extras)
		}
		q.c.Bulk(f.Member)
		if q.withDist {
			writeDistance(q.c, f.distance/q.unit)
		}
		if q.withHash {
			q.c.Int(int64(f.Score))
		}
		if q.withCoord {
			writePoint(q.c, f.at)
		}
	}
}

// find returns the members that are asked for, in the order in which they are.
func (q *geoQuery) find() (found []geoFound) {
	if q.source == nil {
		return nil
	}
	for _, r := range q.shape.Ranges() {
		within := keyspace.ZRange{From: keyspace.BeforeScore(float64(r.First)), To: keyspace.BeforeScore(float64(r.End))}
		q.source.EachMember(within, false, func(member []byte, score float64) bool {
			at := geohash.Decode(numberOf(score))
			if d, ok := q.shape.Contains(at); ok {
				found = append(found, geoFound{keyspace.ZMember{Member: bytes.Clone(member), Score: score}, at, d})
			}
			return !q.enough(found)
		})
		if q.enough(found) {
			break
		}
	}
	switch {
	case q.farthest:
		slices.SortStableFunc(found, func(a, b geoFound) int { return cmp.Compare(b.distance, a.distance) })
	case q.nearest || q.count > 0 && !q.any: // the count is of the nearest
		slices.SortStableFunc(found, func(a, b geoFound) int { return cmp.Compare(a.distance, b.distance) })
	}
	if q.count > 0 && int64(len(found)) > q.count {
		found = found[:q.count]
	}
	return found
}

// enough reports whether as many as ANY asks for are found.
func (q *geoQuery) enough(found []geoFound) bool { return q.any && int64(len(found)) >= q.count }
