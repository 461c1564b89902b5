package rdb

// opFunction begins a library of functions in a dump of them.
const opFunction = 0xf5

// AppendFunctions appends the dump of libraries, as FUNCTION DUMP has it, to dst, which
// is empty.
func AppendFunctions(dst []byte, libraries [][]byte) []byte {
	for _, code := range libraries {
		dst = AppendElement(append(dst, opFunction), code)
	}
	return AppendFooter(dst)
}

// DecodeFunctions returns the libraries of a dump. It returns ErrVersionOrChecksum or
// ErrFormat.
func DecodeFunctions(payload []byte) (libraries [][]byte, err error) {
	if len(payload) < footerLen {
		return nil, ErrVersionOrChecksum
	}
	body := payload[:len(payload)-footerLen]
	footer := payload[len(body):]
	if le.Uint16(footer) > versionReadMax || checksum(payload[:len(payload)-8]) != le.Uint64(footer[2:]) {
		return nil, ErrVersionOrChecksum
	}
	r := reader{b: body}
	for len(r.b) > 0 {
		if r.byte() != opFunction {
			return nil, ErrFormat
		}
		libraries = append(libraries, r.string())
		if r.bad {
			return nil, ErrFormat
		}
	}
	return libraries, nil
}
