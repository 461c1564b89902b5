package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"tutti/internal/geohash"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Positions are members of a sorted set, whose scores are their numbers.
var geoCommands = []Command{
	{Name: "geoadd", Arity: -5, Flags: Write | DenyOOM, Keys: oneKey, Group: "geo", Since: "3.2.0",
		Syntax: "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
		Doc:    "Adds members with their positions to a sorted set.", Run: geoadd},
	{Name: "geopos", Arity: -2, Flags: ReadOnly, Keys: oneKey, Group: "geo", Since: "3.2.0",
		Syntax: "key [member [member ...]]", Doc: "Returns the positions of members.", Run: geopos},
	{Name: "geodist", Arity: -4, Flags: ReadOnly, Keys: oneKey, Group: "geo", Since: "3.2.0",
		Syntax: "key member1 member2 [M | KM | FT | MI]", Doc: "Returns how far two members are from each other.", Run: geodist},
	{Name: "geohash", Arity: -2, Flags: ReadOnly, Keys: oneKey, Group: "geo", Since: "3.2.0",
		Syntax: "key [member [member ...]]", Doc: "Returns the positions of members as geohashes of 11 characters.", Run: geohashes},
	{Name: "geosearch", Arity: -7, Flags: ReadOnly, Keys: oneKey, Group: "geo", Since: "6.2.0",
		Syntax: "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
		Doc:    "Returns the members within a circle or a box.", Run: geosearch},
	{Name: "geosearchstore", Arity: -8, Flags: Write | DenyOOM, Keys: twoKeys, Group: "geo", Since: "6.2.0",
		Syntax: "destination source <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
		Doc:    "Stores the members within a circle or a box.", Run: geosearchstore,
		Large: geoParts},
	{Name: "georadius", Arity: -6, Flags: Write | DenyOOM | MovableKeys, Keys: Keys{First: 1, Last: 1, Step: 1, Find: radiusKeys(6)}, Group: "geo", Since: "3.2.0",
		Syntax: "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
		Doc:    "Returns or stores the members within a circle; the older form of GEOSEARCH.", Run: georadius,
		Large: geoParts},
	{Name: "georadius_ro", Arity: -6, Flags: ReadOnly, Keys: oneKey, Group: "geo", Since: "3.2.10",
		Syntax: "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
		Doc:    "Returns the members within a circle, without STORE.", Run: georadiusRO},
	{Name: "georadiusbymember", Arity: -5, Flags: Write | DenyOOM | MovableKeys, Keys: Keys{First: 1, Last: 1, Step: 1, Find: radiusKeys(5)}, Group: "geo", Since: "3.2.0",
		Syntax: "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
		Doc:    "Returns or stores the members within a circle around a member; the older form of GEOSEARCH.", Run: georadiusbymember,
		Large: geoParts},
	{Name: "georadiusbymember_ro", Arity: -5, Flags: ReadOnly, Keys: oneKey, Group: "geo", Since: "3.2.10",
		Syntax: "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
		Doc:    "Returns the members within a circle around a member, without STORE.", Run: georadiusbymemberRO},
}

// radiusKeys finds the key and the last STORE destination among the options from
// argument at on.
func radiusKeys(at int) func(args [][]byte) []int {
	return func(args [][]byte) []int {
		keys := []int{1}
		for i := at; i+1 < len(args); i++ {
			if resp.IsWord(args[i], "STORE") || resp.IsWord(args[i], "STOREDIST") {
				keys = append(keys[:1], i+1)
				i++
			}
		}
		return keys
	}
}

// position parses arguments i and i+1 as longitude and latitude, or answers the error.
func position(c *Ctx, i int) (p geohash.Point, ok bool) {
	if p.Lon, ok = c.float(i); !ok {
		return p, false
	}
	if p.Lat, ok = c.float(i + 1); !ok {
		return p, false
	}
	if !p.Valid() {
		number := func(f float64) string { return strings.TrimPrefix(strings.ToLower(fmt.Sprintf("%f", f)), "+") }
		c.Error("ERR invalid longitude,latitude pair " + number(p.Lon) + "," + number(p.Lat))
		return p, false
	}
	return p, true
}

// metres parses argument i, a unit, or answers the error.
func metres(c *Ctx, i int) (unit float64, ok bool) {
	switch {
	case c.is(i, "M"):
		return 1, true
	case c.is(i, "KM"):
		return 1000, true
	case c.is(i, "FT"):
		return 0.3048, true
	case c.is(i, "MI"):
		return 1609.34, true
	}
	c.Error("ERR unsupported unit provided. please use M, KM, FT, MI")
	return 0, false
}

// numberOf returns the number that a score is, as a C compiler for amd64 converts it:
// members may have been given any score by ZADD.
func numberOf(score float64) uint64 {
	const half = 1 << 63
	switch {
	case 0 <= score && score < half:
		return uint64(score)
	case -half <= score && score < 0:
		return uint64(int64(score))
	case half <= score && score < 2*half:
		return uint64(score-half) + half
	case score > 0:
		return 0
	}
	return half
}

// positionOf returns the position of a member, if it exists. o may be nil.
func positionOf(o *keyspace.Object, member []byte) (p geohash.Point, ok bool) {
	if o == nil {
		return p, false
	}
	score, ok := o.Score(member)
	return geohash.Decode(numberOf(score)), ok
}

func geoadd(c *Ctx) {
	var opt zaddOptions
	at := 2
	for ; at < len(c.Args); at++ {
		switch {
		case c.is(at, "NX"):
			opt.nx = true
		case c.is(at, "XX"):
			opt.xx = true
		case c.is(at, "CH"):
			opt.ch = true
		default:
			geoaddAt(c, opt, at)
			return
		}
	}
	c.Error(TextSyntax)
}

// geoaddAt adds the positions from argument at on.
func geoaddAt(c *Ctx, opt zaddOptions, at int) {
	if (len(c.Args)-at)%3 != 0 || opt.nx && opt.xx {
		c.Error(TextSyntax)
		return
	}
	scores := make([]float64, 0, (len(c.Args)-at)/3)
	for i := at; i < len(c.Args); i += 3 {
		p, ok := position(c, i)
		if !ok {
			return
		}
		scores = append(scores, float64(geohash.Encode(p)))
	}
	addScores(c, opt, scores, at+2, 3)
}

// writePoint answers with a position.
func writePoint(c *Ctx, p geohash.Point) {
	c.Array(2)
	for _, f := range [...]float64{p.Lon, p.Lat} {
		text := strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(f, 'f', 17, 64), "0"), ".")
		if text == "-0" {
			text = "0"
		}
		if c.Proto >= 3 {
			c.Out = append(append(append(c.Out, byte(resp.KindDouble)), text...), "\r\n"...)
		} else {
			c.BulkString(text)
		}
	}
}

func geopos(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	c.Array(len(c.Args) - 2)
	for _, member := range c.Args[2:] {
		if p, ok := positionOf(o, member); ok {
			writePoint(c, p)
		} else {
			c.NullArray()
		}
	}
}

func geohashes(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	c.Array(len(c.Args) - 2)
	for _, member := range c.Args[2:] {
		if p, ok := positionOf(o, member); ok {
			c.BulkString(p.String())
		} else {
			c.Null()
		}
	}
}

func geodist(c *Ctx) {
	unit := 1.0
	switch len(c.Args) {
	case 4:
	case 5:
		var ok bool
		if unit, ok = metres(c, 4); !ok {
			return
		}
	default:
		c.Error(TextSyntax)
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	a, ok := positionOf(o, c.Args[2])
	b, both := positionOf(o, c.Args[3])
	if !ok || !both {
		c.Null()
		return
	}
	writeDistance(c, geohash.Distance(a, b)/unit)
}

// writeDistance answers with four digits behind the point.
func writeDistance(c *Ctx, d float64) {
	const digits = 4
	n := int64(math.RoundToEven(d * 1e4))
	text := fmt.Sprintf("%0*d", digits+1, n)
	at := len(text) - digits
	c.BulkString(text[:at] + "." + text[at:])
}
