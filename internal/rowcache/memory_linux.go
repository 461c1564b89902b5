package rowcache

import "golang.org/x/sys/unix"

// allocate returns n bytes of zeros outside of Go's heap, or in it if the system
// refuses them. Pages are small ones: with huge ones a few rows in every stripe
// would take the whole of it.
func allocate(n int) []byte {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n)
	}
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE) // a kernel without huge pages does not know it
	return mem
}

// discard gives whole pages of memory that allocate returned back to the system. They
// hold anything after that.
func discard(mem []byte) { _ = unix.Madvise(mem, unix.MADV_DONTNEED) }

// release gives back what allocate returned. Go's heap needs nobody to.
func release(mem []byte) { _ = unix.Munmap(mem) }
