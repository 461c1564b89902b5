package geohash

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The numbers and the distance are those that redis-server 7.0.15 says.
func TestKnownPlaces(t *testing.T) {
	palermo, catania := Point{13.361389, 38.115556}, Point{15.087269, 37.502669}
	if a, b := Encode(palermo), Encode(catania); a != 3479099956230698 || b != 3479447370796909 {
		t.Errorf("numbers %d and %d", a, b)
	}
	palermo, catania = Decode(Encode(palermo)), Decode(Encode(catania))
	if d := Distance(palermo, catania); d != 166274.15156960033 {
		t.Errorf("distance %v", d)
	}
	if a, b := palermo.String(), catania.String(); a != "sqc8b49rny0" || b != "sqdtr74hyu0" {
		t.Errorf("geohashes %s and %s", a, b)
	}
}

func TestDecodeIsNear(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		p := Point{(r.Float64()*2 - 1) * LonMax, (r.Float64()*2 - 1) * LatMax}
		bits := Encode(p)
		q := Decode(bits)
		if bits >= 1<<52 || math.Abs(p.Lon-q.Lon) > 180.0/(1<<26) || math.Abs(p.Lat-q.Lat) > 86.0/(1<<26) || Encode(q) != bits {
			t.Fatalf("%v is number %d, which is %v", p, bits, q)
		}
	}
}

// What lies within a shape is in its ranges, wherever it does not reach the edge of the
// map, and no number is in two of them.
func TestRangesHaveWhatTheShapeHas(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		size := math.Exp(r.Float64() * 13) // up to 440 km
		s := Shape{Center: Point{(r.Float64()*2 - 1) * 150, (r.Float64()*2 - 1) * 60}, Radius: size}
		if r.IntN(2) == 0 {
			s = Shape{Center: s.Center, Box: true, Width: size, Height: size * r.Float64()}
		}
		ranges := s.Ranges()
		for range 50 {
			reach := size / 50_000 // degrees
			p := Decode(Encode(Point{s.Center.Lon + (r.Float64()*2-1)*reach, s.Center.Lat + (r.Float64()*2-1)*reach}))
			in := 0
			for _, g := range ranges {
				if bits := Encode(p); g.First <= bits && bits < g.End {
					in++
				}
			}
			if _, within := s.Contains(p); within && in != 1 || in > 1 {
				t.Fatalf("%+v: %v is in %d ranges, within: %v", s, p, in, within)
			}
		}
	}
}

// naive is a sine or cosine by its series, in 200 bits.
func naive(x float64, sine bool) float64 {
	n := func(f float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(f) }
	term, i := n(1), 1.0
	if sine {
		term, i = n(x), 2
	}
	sum := n(0).Set(term)
	for ; i < 80; i += 2 {
		term.Mul(term, n(-x))
		term.Mul(term, n(x))
		term.Quo(term, n(i*(i+1)))
		sum.Add(sum, term)
	}
	f, _ := sum.Float64()
	return f
}

// Sines and cosines are the nearest numbers to the true ones, and an arc is the angle
// with that sine.
func TestTrigonometryIsRounded(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		x := (r.Float64()*2 - 1) * 3.2 * math.Pow(10, -float64(r.IntN(6)))
		if got, want := sin(x), naive(x, true); got != want {
			t.Errorf("sin(%v) = %v, want %v", x, got, want)
		}
		if got, want := cos(x), naive(x, false); got != want {
			t.Errorf("cos(%v) = %v, want %v", x, got, want)
		}
		y := math.Mod(x, 1)
		if got := asin(y); math.Abs(got-math.Asin(y)) > 3e-16 || math.Abs(y) < 0.9 && math.Abs(naive(got, true)-y) > 2e-16 {
			t.Errorf("asin(%v) = %v", y, got)
		}
	}
	if asin(1) != math.Pi/2 || asin(0) != 0 || sin(0) != 0 || cos(0) != 1 {
		t.Error("the ends are not exact")
	}
}

// FuzzShape searches anything.
func FuzzShape(f *testing.F) {
	f.Add(13.0, 38.0, 1000.0, 10.0, false)
	f.Add(180.0, 85.05, 1e300, 1e300, true)
	f.Add(-180.0, -85.05, math.Inf(1), 0.0, true)
	f.Fuzz(func(t *testing.T, lon, lat, width, height float64, box bool) {
		s := Shape{Center: Point{lon, lat}, Radius: width, Width: width, Height: height, Box: box}
		if !s.Center.Valid() || !(width >= 0 && height >= 0) {
			return
		}
		for _, g := range s.Ranges() {
			if g.First >= g.End || g.End > 1<<52 {
				t.Fatalf("range %+v", g)
			}
		}
		s.Contains(Decode(math.Float64bits(lon)))
	})
}
