package command

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/internal/resp"
)

var asRedis = flag.Int("redis", 0, "compare so many random scenes with the redis-server of the machine, and write the first down for TestScripts")

// scenes make up commands whose replies must be those of redis-server 7.0, whatever
// is random in them. The first scene of each lies in testdata/redis_NAME.txt.
var scenes = map[string]func(r *rand.Rand, long bool) []string{
	"hyperloglog": hyperloglogScene,
	"geo":         geoScene,
}

// TestAsRedis compares random scenes with redis-server if it is asked to:
//
//	go test ./internal/command -run TestAsRedis -redis 200
func TestAsRedis(t *testing.T) {
	if *asRedis == 0 {
		t.Skip("compares with redis-server when it is asked to: -redis 200")
	}
	conn := dialRedis(t)
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			for seed := range *asRedis {
				conn.do(t, "FLUSHALL")
				lines := scene(rand.New(rand.NewPCG(uint64(seed), 7)), seed > 0)
				script := fmt.Sprintf("# What redis-server 7.0 says: go test ./internal/command -run TestAsRedis/%s -redis 1\n", name)
				b := newBench(t)
				for i, line := range lines {
					want := conn.do(t, line)
					got := b.do(line)
					if !same(got, want) {
						t.Fatalf("seed %d, line %d: %.200s\ngot  %.2000s\nwant %.2000s\nbefore: %.2000s", seed, i, line, got, want, strings.Join(lines[max(0, i-10):i], "\n"))
					}
					script += "\n> " + line + "\n" + got
				}
				if seed > 0 {
					continue
				}
				if err := os.WriteFile("testdata/redis_"+name+".txt", []byte(script+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

var quotedNumber = regexp.MustCompile(`"-?[0-9.]+(e[+-]?[0-9]+)?"`)

// same reports whether two replies are, but for how numbers are written (Redis 7.2, whose
// way is ours, writes some with an exponent that 7.0 does not) and for the last digit of
// a distance: what C libraries and we make of a sine differs once in thousands.
func same(got, want string) bool {
	if got == want {
		return true
	}
	a, b := quotedNumber.FindAllString(got, -1), quotedNumber.FindAllString(want, -1)
	if len(a) != len(b) || quotedNumber.ReplaceAllString(got, "") != quotedNumber.ReplaceAllString(want, "") {
		return false
	}
	for i := range a {
		x, _ := strconv.ParseFloat(strings.Trim(a[i], `"`), 64)
		y, _ := strconv.ParseFloat(strings.Trim(b[i], `"`), 64)
		if a[i] != b[i] && math.Abs(x-y) > 1e-15*math.Abs(y) {
			return false
		}
	}
	return true
}

type redisConn struct {
	net.Conn
	in *bufio.Reader
}

// dialRedis starts a redis-server and returns a connection to it.
func dialRedis(t *testing.T) redisConn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	server := exec.Command("redis-server", "--port", port, "--save", "")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	for range 200 {
		if nc, err := net.Dial("tcp", addr); err == nil {
			t.Cleanup(func() { nc.Close() })
			return redisConn{nc, bufio.NewReader(nc)}
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatal("redis-server does not listen")
	panic("not reached")
}

// do has a command line executed.
func (c redisConn) do(t *testing.T, line string) string {
	t.Helper()
	args := splitLine(t, line)
	out := resp.AppendArray(nil, len(args))
	for _, a := range args {
		out = resp.AppendBulk(out, a)
	}
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	v, err := resp.ReadValue(c.in)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(v.FormatCLI(), "\n")
}

// hyperloglogScene adds to, merges and reads sketches; long ones become dense. Once
// PFCOUNT was there, redis-server keeps the count in the header.
func hyperloglogScene(r *rand.Rand, long bool) (lines []string) {
	key := func() string { return "h" + strconv.Itoa(r.IntN(4)) }
	most, steps := 12, 60
	if long {
		most, steps = 1+r.IntN(400), 100
	}
	read := func() []string {
		return []string{"GETRANGE " + key() + " 16 -1", "GETRANGE " + key() + " 0 4", "PFDEBUG ENCODING " + key(), "STRLEN " + key()}
	}
	counted := false
	for range steps {
		switch k := key(); r.IntN(12) {
		case 0:
			lines, counted = append(lines, "PFCOUNT "+k), true
		case 1:
			lines = append(lines, "PFCOUNT "+k+" "+key()+" "+key())
		case 2:
			lines = append(lines, "PFMERGE "+k+" "+key()+" "+key())
		case 3:
			lines = append(lines, "PFDEBUG DECODE "+k)
		case 4:
			if long && r.IntN(8) == 0 {
				lines = append(lines, "PFDEBUG "+[]string{"GETREG", "TODENSE"}[r.IntN(2)]+" "+k)
			} else if r.IntN(8) == 0 {
				lines = append(lines, "DEL "+k)
			}
		case 5:
			lines = append(lines, read()...)
		case 6: // a corrupt one; adding to it, Redis reads beyond its end
			lines = append(lines, "DEL bad", fmt.Sprintf("PFADD bad %q %q %q", randomBytes(r, 20, "ab"), randomBytes(r, 20, "ab"), randomBytes(r, 20, "ab")),
				fmt.Sprintf("SETRANGE bad %d %q", r.IntN(26), []byte{byte(r.Uint32())}))
			lines = append(lines, "PFCOUNT bad", "PFCOUNT bad h0", "PFMERGE h2 bad", "PFMERGE bad h1", "PFDEBUG TODENSE bad")
		default:
			line := "PFADD " + k
			for range r.IntN(most) {
				line += fmt.Sprintf(" %q", randomBytes(r, 20, "abc\x00\xff\x17"))
			}
			lines = append(lines, line)
			if !counted {
				lines = append(lines, "GETRANGE "+k+" 0 -1")
			}
		}
	}
	return append(lines, read()...)
}

// geoScene adds positions, also some that are no numbers of positions, and searches.
func geoScene(r *rand.Rand, long bool) (lines []string) {
	members, spread := 12, 180.0
	if long {
		members, spread = 1+r.IntN(300), []float64{180, 20, 1, 0.01}[r.IntN(4)]
	}
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	member := func() string { return "m" + strconv.Itoa(r.IntN(members)) }
	key := func() string { return pick("{g}a", "{g}a", "{g}a", "{g}b") }
	center := [2]float64{(r.Float64()*2 - 1) * (180 - spread), (r.Float64()*2 - 1) * (85 - min(85, spread))}
	point := func() string {
		lon, lat := center[0]+(r.Float64()*2-1)*spread, max(min(center[1]+(r.Float64()*2-1)*spread, 85.05), -85.05)
		if r.IntN(30) == 0 {
			lat = float64(r.IntN(200) - 100)
		}
		return fmt.Sprintf("%v %v", lon, lat)
	}
	unit := func() string { return pick("m", "km", "ft", "MI", "km", "miles") }
	length := func() string { return fmt.Sprintf("%.3f", math.Exp(r.Float64()*17)) }
	options := func() (text string) {
		for range r.IntN(3) {
			text += pick(" WITHDIST", " WITHHASH", " WITHCOORD", " COUNT "+strconv.Itoa(r.IntN(9)), " COUNT 3 ANY")
		}
		return text + pick(" ASC", " DESC", "")
	}
	around := func() string {
		return pick(" FROMMEMBER "+member(), " FROMLONLAT "+point()) + pick(" BYRADIUS "+length()+" "+unit(), " BYBOX "+length()+" "+length()+" "+unit())
	}
	for range 2 {
		line := "GEOADD {g}a"
		for i := range members {
			line += " " + strings.ReplaceAll(point(), "-9", "-7") + " m" + strconv.Itoa(i)
		}
		lines = append(lines, line, "ZRANGE {g}a 0 -1 WITHSCORES")
	}
	for range 40 {
		switch r.IntN(10) {
		case 0:
			lines = append(lines, "GEOADD "+key()+pick("", " NX", " XX", " CH", " XX CH", " NX XX")+" "+point()+" "+member()+" "+point()+" "+member())
		case 1:
			lines = append(lines, fmt.Sprintf("ZADD %s %v odd", key(), pick("-5", "1e17", "-1e17", "1.5e19", "1e300", "-inf", "inf", "3.5", "9007199254740993")), "GEOPOS "+key()+" odd", "GEOHASH "+key()+" odd", "ZREM {g}a odd")
		case 2:
			lines = append(lines, "GEOPOS "+key()+" "+member()+" "+member(), "GEOHASH "+key()+" "+member()+" "+member())
		case 3:
			lines = append(lines, "GEODIST "+key()+" "+member()+" "+member()+" "+unit(), "GEODIST "+key()+" "+member()+" "+member())
		case 4:
			lines = append(lines, pick("GEORADIUS ", "GEORADIUS_RO ")+key()+" "+point()+" "+length()+" "+unit()+options())
		case 5:
			lines = append(lines, pick("GEORADIUSBYMEMBER ", "GEORADIUSBYMEMBER_RO ")+key()+" "+member()+" "+length()+" "+unit()+options())
		case 6:
			lines = append(lines, "GEORADIUS "+key()+" "+point()+" "+length()+" "+unit()+options()+pick(" STORE", " STOREDIST")+" {g}c", "ZRANGE {g}c 0 -1 WITHSCORES", "DEL {g}c")
		case 7:
			lines = append(lines, "GEOSEARCHSTORE {g}c "+key()+around()+pick("", " COUNT 3", " DESC", " COUNT 2 ANY")+pick("", " STOREDIST"), "ZRANGE {g}c 0 -1 WITHSCORES", "DEL {g}c")
		default:
			lines = append(lines, "GEOSEARCH "+key()+around()+options())
		}
	}
	return lines
}
