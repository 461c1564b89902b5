package runner

// output keeps the beginning of what is written to it, and counts the rest: a command
// that writes without end holds no more than that. It belongs to the goroutine that
// copies, until the command has ended.
type output struct {
	max  int
	kept []byte
	cut  int64
}

// Write takes p. It never fails, so that the command is not held up.
func (o *output) Write(p []byte) (int, error) {
	n := min(len(p), o.max-len(o.kept))
	o.kept = append(o.kept, p[:n]...)
	o.cut += int64(len(p) - n)
	return len(p), nil
}
