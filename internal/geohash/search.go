package geohash

import "math"

// Shape is what is searched: what lies around a position. Lengths are in metres.
type Shape struct {
	Center        Point
	Radius        float64 // of a circle
	Width, Height float64 // of a box, if Box
	Box           bool
}

// Range is a range of numbers: from First up to, not including, End.
type Range struct{ First, End uint64 }

// Contains reports whether a position is within the shape, and how far from its centre.
func (s *Shape) Contains(p Point) (distance float64, within bool) {
	if !s.Box {
		distance = Distance(s.Center, p)
		return distance, distance <= s.Radius
	}
	if latDistance(p, s.Center) > s.Height/2 || Distance(p, Point{s.Center.Lon, p.Lat}) > s.Width/2 {
		return 0, false
	}
	return Distance(s.Center, p), true
}

// bounds returns the rectangle of the map in which the shape lies; it may be larger
// than the map. What is further from the equator is wider there.
func (s *Shape) bounds() area {
	height, width := s.Radius, s.Radius
	if s.Box {
		height, width = s.Height/2, s.Width/2
	}
	lat := height / earthRadius / degree
	wide := s.Center.Lat + lat
	if s.Center.Lat < 0 {
		wide = s.Center.Lat - lat
	}
	lon := width / earthRadius / cos(wide*degree) / degree
	return area{Point{s.Center.Lon - lon, s.Center.Lat - lat}, Point{s.Center.Lon + lon, s.Center.Lat + lat}}
}

// steps returns how often the map is halved into cells of which nine cover the shape,
// mostly.
func (s *Shape) steps() int {
	radius := s.Radius
	if s.Box {
		radius = math.Sqrt(s.Width/2*s.Width/2 + s.Height/2*s.Height/2)
	}
	if radius == 0 {
		return stepMax
	}
	step := -1
	for ; radius < mercatorMax; radius *= 2 {
		step++
	}
	switch lat := math.Abs(s.Center.Lat); { // cells are narrower towards the poles
	case lat > 80:
		step -= 2
	case lat > 66:
		step--
	}
	return max(1, min(step, stepMax))
}

// around are the places of the cells that are searched, in order: to the east and to
// the north of the one in the middle.
var around = [9][2]int{{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}}

// Ranges returns numbers among which are those of all positions within the shape.
func (s *Shape) Ranges() []Range {
	need, step := s.bounds(), s.steps()
	middle := encode(s.Center, LatMax, step)
	if step > 1 && !middle.reaches(need) {
		step--
		middle = encode(s.Center, LatMax, step)
	}
	var list []Range
	in := middle.area()
	for _, at := range around {
		east, north := at[0], at[1]
		if step >= 2 && (north < 0 && in.min.Lat < need.min.Lat || north > 0 && in.max.Lat > need.max.Lat ||
			east < 0 && in.min.Lon < need.min.Lon || east > 0 && in.max.Lon > need.max.Lon) {
			continue // the cell in the middle ends beyond the shape on that side
		}
		r := middle.moved(east, north).numbers()
		if n := len(list); n > 0 && list[n-1] == r { // of the whole map, neighbours are the same
			continue
		}
		list = append(list, r)
	}
	return list
}

// reaches reports whether the cell and those around it reach as far as the rectangle.
// It is not known beyond the edge of the map, where they go on at the other side.
func (c cell) reaches(need area) bool {
	return c.moved(0, 1).area().max.Lat >= need.max.Lat && c.moved(0, -1).area().min.Lat <= need.min.Lat &&
		c.moved(1, 0).area().max.Lon >= need.max.Lon && c.moved(-1, 0).area().min.Lon <= need.min.Lon
}
