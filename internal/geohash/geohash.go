// Package geohash makes one number of a position on the earth, so that what is near
// each other mostly has numbers that are, and finds which numbers an area has.
//
// The number has 52 bits, as many as a float64 holds exactly: longitude and latitude
// are halved 26 times each, and their bits take turns, longitude first. Latitudes end
// at 85.05112878 degrees, where the map of Mercator is a square. Numbers, distances
// and the order in which areas are searched are those of Redis.
//
// The package is pure.
package geohash

import "math"

// Bounds of positions, in degrees.
const (
	LonMax = 180
	LatMax = 85.05112878

	stepMax = 26 // halvings of each

	degree      = 0.017453292519943295 // in radians
	earthRadius = 6372797.560856       // in metres
	mercatorMax = 20037726.37          // half of the equator on the map
)

// Point is a position in degrees.
type Point struct{ Lon, Lat float64 }

// Valid reports whether a position has a number.
func (p Point) Valid() bool {
	return -LonMax <= p.Lon && p.Lon <= LonMax && -LatMax <= p.Lat && p.Lat <= LatMax
}

// Encode returns the number of a valid position.
func Encode(p Point) uint64 { return encode(p, LatMax, stepMax).bits }

// Decode returns the position in the middle of those that have a number.
func Decode(bits uint64) Point {
	a := cell{bits, stepMax}.area()
	return Point{clamp((a.min.Lon+a.max.Lon)/2, LonMax), clamp((a.min.Lat+a.max.Lat)/2, LatMax)}
}

func clamp(x, most float64) float64 { return max(min(x, most), -most) }

// String returns the position as a geohash of 11 characters, as others write it. They
// halve all latitudes up to 90 degrees; the last character is always 0, as there are
// no bits for it.
func (p Point) String() string {
	const alphabet = "0123456789bcdefghjkmnpqrstuvwxyz"
	bits := encode(p, 90, stepMax).bits
	text := []byte("00000000000")
	for i := range 10 {
		text[i] = alphabet[bits>>(52-5*(i+1))&31]
	}
	return string(text)
}

// cell is a field of the map after step halvings of both sides.
type cell struct {
	bits uint64
	step int
}

func encode(p Point, latMax float64, step int) cell {
	side := float64(uint64(1) << step)
	lat := (p.Lat + latMax) / (latMax + latMax) * side
	lon := (p.Lon + LonMax) / (LonMax + LonMax) * side
	return cell{spread(uint32(lat)) | spread(uint32(lon))<<1, step}
}

// spread puts a zero before each bit.
func spread(n uint32) uint64 {
	x := uint64(n)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	return (x | x<<1) & 0x5555555555555555
}

// gather takes every other bit, from the lowest on.
func gather(x uint64) uint32 {
	x &= 0x5555555555555555
	x = (x | x>>1) & 0x3333333333333333
	x = (x | x>>2) & 0x0f0f0f0f0f0f0f0f
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// area is a rectangle of the map.
type area struct{ min, max Point }

func (c cell) area() area {
	lat, lon := gather(c.bits), gather(c.bits>>1)
	side := float64(uint64(1) << c.step)
	at := func(n uint32, most float64) float64 { return -most + float64(float64(n)/side*(most+most)) }
	return area{Point{at(lon, LonMax), at(lat, LatMax)}, Point{at(lon+1, LonMax), at(lat+1, LatMax)}}
}

// moved returns the cell that many cells to the east and to the north; the map goes
// on at its other side.
func (c cell) moved(east, north int) cell {
	mask := uint32(1)<<c.step - 1
	lat := (gather(c.bits) + uint32(north)) & mask
	lon := (gather(c.bits>>1) + uint32(east)) & mask
	return cell{spread(lat) | spread(lon)<<1, c.step}
}

// numbers returns the numbers of the positions in a cell: from first up to, not
// including, end.
func (c cell) numbers() Range {
	shift := 2 * (stepMax - c.step)
	return Range{c.bits << shift, (c.bits + 1) << shift}
}

// Distance returns how far two positions are from each other, in metres on a sphere.
// No two operations may be fused into one, as the digits are to be those of Redis.
func Distance(a, b Point) float64 {
	v := sin((radians(b.Lon) - radians(a.Lon)) / 2)
	if v == 0 {
		return latDistance(a, b)
	}
	latA, latB := radians(a.Lat), radians(b.Lat)
	u := sin((latB - latA) / 2)
	h := float64(u*u) + float64(cos(latA)*cos(latB)*v*v)
	return 2 * earthRadius * asin(math.Sqrt(min(h, 1)))
}

// latDistance is the distance of two positions of the same longitude.
func latDistance(a, b Point) float64 {
	return earthRadius * math.Abs(radians(b.Lat)-radians(a.Lat))
}

func radians(degrees float64) float64 { return float64(degrees * degree) }
