package troodon

import (
	"encoding/binary"
	"regexp"
	"unicode/utf8"
)

// The kinds of frames.
const (
	kindCall = iota + 1
	kindReply
	kindError
	kindItem
	kindEnd
	kindCancel
	kindCredit
	kindPing
	kindPong
	kindGoAway
)

const (
	maxHeader   = 16_384
	maxMetadata = 64
	maxMessage  = 8_192
	maxFrame    = 4_194_304 // default of both sides
)

// Metadata accompany a call or an error. Values are strings or []byte.
type Metadata map[string]any

var metadataName = regexp.MustCompile(`^[a-z0-9._-]{1,64}$`)

// A frame as received; which fields it has depends on its kind.
type frame struct {
	kind       uint64
	seq        uint64 // of Ping and Pong their number, of GoAway lastSeq
	name       string // the method of a Call, the code of an Error or GoAway
	message    string
	timeout    uint64 // ms; 0 is none
	items      uint64
	bytes      uint64
	metadata   Metadata
	body       []byte
	notStarted bool
}

// forms describes the header of each kind after the kind itself: s seq, n number, t text, m optional metadata.
var forms = map[uint64]string{kindCall: "stnm", kindReply: "sm", kindError: "sttm", kindItem: "s", kindEnd: "sm",
	kindCancel: "s", kindCredit: "snn", kindPing: "n", kindPong: "n", kindGoAway: "ntt"}

// readFrame decodes what follows the head of a frame. The error is a *violation.
func readFrame(content []byte) (f frame, err error) {
	r := headerReader{data: content}
	count := r.head(4)
	f.kind = r.head(0)
	form, ok := forms[f.kind]
	if r.err == nil && !ok {
		r.err = malformed("Unknown kind %d", f.kind)
	}
	hasMetadata := ok && form[len(form)-1] == 'm' && count == uint64(len(form)+1)
	if r.err == nil && count != uint64(len(form)+1) && !(form[len(form)-1] == 'm' && count == uint64(len(form))) {
		r.err = malformed("A header of kind %d has %d elements", f.kind, count)
	}
	if r.err != nil {
		return f, r.err
	}
	switch f.kind {
	case kindCall:
		f.seq, f.name, f.timeout = r.seq(), r.text(), r.head(0)
	case kindError:
		f.seq, f.name, f.message = r.seq(), r.text(), r.text()
	case kindGoAway:
		f.seq, f.name, f.message = r.head(0), r.text(), r.text()
	case kindCredit:
		f.seq, f.items, f.bytes = r.seq(), r.head(0), r.head(0)
	case kindPing, kindPong:
		f.seq = r.head(0)
	default:
		f.seq = r.seq()
	}
	if hasMetadata {
		f.metadata = r.metadata()
		_, f.notStarted = f.metadata["not-started"]
	}
	f.body = content[r.at:]
	hasBody := f.kind <= kindItem
	if r.err == nil && !hasBody && len(f.body) > 0 {
		r.err = malformed("An unexpected body")
	}
	return f, r.err
}

// A headerReader reads the fields of a header: definite lengths, exact types, any width. It keeps the first error.
type headerReader struct {
	data []byte
	at   int
	err  error
}

func (r *headerReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *headerReader) take(n uint64) []byte {
	limit := len(r.data)
	if limit > maxHeader {
		limit = maxHeader
	}
	if r.err != nil {
		return nil
	}
	if n > uint64(limit-r.at) {
		r.err = malformed("A header ends too early")
		if limit < len(r.data) {
			r.err = &violation{ResourceExhausted, "A header has more than 16384 bytes"}
		}
		return nil
	}
	r.at += int(n)
	return r.data[r.at-int(n) : r.at]
}

func (r *headerReader) head(major byte) uint64 {
	first := r.take(1)
	if first == nil {
		return 0
	}
	info := first[0] & 31
	if first[0]>>5 != major || info > 27 {
		r.fail(malformed("A field of a header has a wrong type or an indefinite length"))
		return 0
	}
	if info < 24 {
		return uint64(info)
	}
	bytes := make([]byte, 8)
	copy(bytes[8-1<<(info-24):], r.take(1<<(info-24)))
	n := binary.BigEndian.Uint64(bytes)
	if n > largest {
		r.fail(malformed("A number is above 2^53-1"))
		return 0
	}
	return n
}

func (r *headerReader) seq() uint64 {
	n := r.head(0)
	if n == 0 {
		r.fail(malformed("seq is 0"))
	}
	return n
}

func (r *headerReader) text() string {
	text := r.take(r.head(3))
	if !utf8.Valid(text) {
		r.fail(malformed("A text is not UTF-8"))
	}
	return string(text)
}

func (r *headerReader) metadata() Metadata {
	count := r.head(5)
	if count > maxMetadata {
		r.fail(&violation{ResourceExhausted, "More than 64 entries of metadata"})
	}
	metadata := Metadata{}
	for ; count > 0 && r.err == nil; count-- {
		name := r.text()
		if _, ok := metadata[name]; ok || !metadataName.MatchString(name) || name == "__proto__" {
			r.fail(malformed("A name of metadata is invalid or occurs twice"))
		}
		if r.at < len(r.data) && r.data[r.at]>>5 == 2 {
			metadata[name] = append([]byte{}, r.take(r.head(2))...)
		} else {
			metadata[name] = r.text()
		}
	}
	return metadata
}

// appendFrame appends a frame, unless it is longer than the peer accepts.
func appendFrame(b []byte, limit uint64, header []any, body []byte) ([]byte, error) {
	start := len(b)
	b = append(b, 0x5a, 0, 0, 0, 0)
	b, err := appendCBOR(b, header)
	if err != nil {
		return b[:start], err
	}
	if len(b)-start-5 > maxHeader {
		return b[:start], Errorf(ResourceExhausted, "The header of the frame exceeds %d bytes", maxHeader)
	}
	b = append(b, body...)
	length := uint64(len(b) - start - 5)
	if length > limit {
		return b[:start], Errorf(ResourceExhausted, "The frame of %d bytes exceeds the peer's maxFrameBytes", length)
	}
	binary.BigEndian.PutUint32(b[start+1:], uint32(length))
	return b, nil
}
