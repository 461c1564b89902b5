package geohash

import "math"

// The functions of package math are off by one in the last digit every few calls, and
// distances are stored with all digits. These are right but for one call in thousands,
// as those of a C library are. They are for angles of at most a turn.

// pair is the sum of two numbers of which the second is what is left over when the
// first is rounded.
type pair struct{ hi, lo float64 }

// halfPi is a quarter of a turn.
const (
	halfPi     = 1.5707963267948966
	halfPiRest = 6.123233995736766e-17
)

// sum returns a + b for |a| >= |b|.
func sum(a, b float64) pair {
	s := float64(a + b)
	return pair{s, b - float64(s-a)}
}

func (p pair) add(q pair) pair {
	s := float64(p.hi + q.hi)
	t := float64(s - p.hi)
	return sum(s, float64(p.hi-float64(s-t))+float64(q.hi-t)+float64(p.lo+q.lo))
}

func (p pair) mul(q pair) pair {
	hi := float64(p.hi * q.hi)
	return sum(hi, math.FMA(p.hi, q.hi, -hi)+float64(p.hi*q.lo)+float64(p.lo*q.hi))
}

// over returns p / n.
func (p pair) over(n float64) pair {
	hi := p.hi / n
	return sum(hi, (math.FMA(-hi, n, p.hi)+p.lo)/n)
}

// quarter returns in which quarter of a turn x is nearest to the beginning, and how
// far from it.
func quarter(x float64) (k int, r pair) {
	n := math.RoundToEven(x / halfPi)
	hi := float64(n * halfPi)
	low := pair{math.FMA(n, halfPi, -hi), n * halfPiRest}
	return int(n), pair{x, 0}.add(pair{-hi, 0}).add(pair{-low.hi, -low.lo})
}

// sinNear is the sine of an angle of at most an eighth of a turn. The later terms of
// the series are small enough for single numbers.
func sinNear(r pair) pair {
	square := r.mul(r)
	x := square.hi
	tail := x * polynomial(x, -1.0/5040, 1.0/362880, -1.0/39916800, 1.0/6227020800, -1.0/1307674368000, 1.0/355687428096000, -1.0/121645100408832000)
	series := pair{1, 0}.over(120).add(pair{tail, 0}).mul(square).add(pair{-1, 0}.over(6)).mul(square)
	return r.add(series.mul(r))
}

// polynomial returns a[0] + a[1]x + a[2]x² + ….
func polynomial(x float64, a ...float64) (sum float64) {
	for i := len(a) - 1; i >= 0; i-- {
		sum = sum*x + a[i]
	}
	return sum
}

// cosNear is the cosine of such an angle.
func cosNear(r pair) pair {
	square := r.mul(r)
	x := square.hi
	tail := x * polynomial(x, 1.0/40320, -1.0/3628800, 1.0/479001600, -1.0/87178291200, 1.0/20922789888000, -1.0/6402373705728000, 1.0/2432902008176640000)
	series := pair{-1, 0}.over(720).add(pair{tail, 0}).mul(square).add(pair{1, 0}.over(24)).mul(square).add(pair{-0.5, 0}).mul(square)
	return pair{1, 0}.add(series)
}

func sinPair(x float64) pair {
	k, r := quarter(x)
	s := r
	if k&1 == 0 {
		s = sinNear(r)
	} else {
		s = cosNear(r)
	}
	if k&2 != 0 {
		return pair{-s.hi, -s.lo}
	}
	return s
}

func sin(x float64) float64 { return sinPair(x).hi }

func cos(x float64) float64 {
	if math.IsInf(x, 0) || math.IsNaN(x) || math.Abs(x) > 100 { // of a shape that is larger than the earth
		return math.Cos(x)
	}
	k, r := quarter(x)
	s := r
	if k&1 == 0 {
		s = cosNear(r)
	} else {
		s = sinNear(r)
	}
	if k&3 == 1 || k&3 == 2 {
		return -s.hi
	}
	return s.hi
}

// asin mends the value of package math by one step of Newton's method.
func asin(x float64) float64 {
	y := math.Asin(x)
	c := cos(y)
	if c < 1e-9 || x == 0 {
		return y
	}
	s := sinPair(y)
	return y + (float64(x-s.hi)-s.lo)/c
}
