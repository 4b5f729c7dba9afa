package troodon

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"unicode/utf8"
)

const (
	magicNumber = 3927900
	version     = 1
	maxLine     = 4_096

	leastServerFrame = 65_536
	leastClientFrame = 256
	leastInFlight    = 16
)

// A line is one side's line of the handshake, as JSON.
type line map[string]any

// readLine reads a line of JSON. It refuses the first byte with which no JSON can begin, which may have no LF after it.
func readLine(r *bufio.Reader) (line, error) {
	var text []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			if err == io.EOF && len(text) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		text = append(text, b)
		if bytes.IndexByte([]byte(" \t\n\r{[\"-0123456789tfn"), text[0]) < 0 {
			return nil, Errorf(InvalidArgument, "Cannot accept handshake: expected one line of JSON")
		}
		if b == '\n' {
			break
		}
		if len(text) >= maxLine {
			return nil, Errorf(ResourceExhausted, "Cannot accept handshake: the line is longer than %d bytes", maxLine)
		}
	}
	var fields line
	if !utf8.Valid(text) || json.Unmarshal(text, &fields) != nil || fields == nil {
		return nil, Errorf(InvalidArgument, "Cannot accept handshake: expected one line with a JSON object")
	}
	return fields, nil
}

func encodeLine(fields line) []byte {
	text, _ := json.Marshal(fields) // the fields are ours: texts and integers
	return append(text, '\n')
}

// whole returns a field that must be an integer from least to 2^53-1, or otherwise if it is absent.
func (l line) whole(name string, least, otherwise float64) (uint64, error) {
	value, ok := l[name]
	if !ok {
		value = otherwise
	}
	n, ok := value.(float64)
	if !ok || n < least || n > largest || n != math.Trunc(n) {
		return 0, Errorf(InvalidArgument, "Cannot accept handshake: %s must be a whole number from %v", name, least)
	}
	return uint64(n), nil
}

func (l line) text(name, otherwise string) (string, error) {
	value, ok := l[name]
	if !ok {
		value = otherwise
	}
	text, ok := value.(string)
	if !ok {
		return "", Errorf(InvalidArgument, "Cannot accept handshake: %s must be a text", name)
	}
	return text, nil
}

// An agreement is what both lines of a handshake come to.
type agreement struct {
	codec         codec
	codecType     string
	handleTimeout uint64 // ms; 0 is none
	maxFrame      uint64 // the longest frame that the peer accepts
	maxInFlight   uint64
}

const required = -1 // as the default of a field that must be present

// checkOption validates a client's line, in the order of the document.
func checkOption(fields line) (agreed agreement, err error) {
	if n, err := fields.whole("magicNumber", 0, required); err != nil || n != magicNumber {
		return agreed, Errorf(InvalidArgument, "Cannot accept handshake: magicNumber must be %d", magicNumber)
	}
	if n, err := fields.whole("version", 0, version); err != nil {
		return agreed, err
	} else if n != version {
		return agreed, Errorf(Unimplemented, "Cannot accept handshake: only version %d is supported", version)
	}
	_, tokenErr := fields.text("token", "")
	_, timeoutErr := fields.whole("connectTimeout", 0, 0)
	var errs [3]error
	agreed.codecType, errs[0] = fields.text("codecType", cborType)
	agreed.handleTimeout, errs[1] = fields.whole("handleTimeout", 0, 0)
	agreed.maxFrame, errs[2] = fields.whole("maxFrameBytes", leastClientFrame, maxFrame)
	for _, err := range append(errs[:], tokenErr, timeoutErr) {
		if err != nil {
			return agreed, err
		}
	}
	var ok bool
	if agreed.codec, ok = codecs[agreed.codecType]; !ok {
		return agreed, Errorf(Unimplemented, "Cannot accept handshake: unknown codec")
	}
	return agreed, nil
}

// checkAnswer validates a server's line. A refusal is an *Error with its code.
func checkAnswer(fields line, codecType string) (agreed agreement, err error) {
	if refusal, ok := fields["error"]; ok {
		object, _ := refusal.(map[string]any)
		code, _ := object["code"].(string)
		message, _ := object["message"].(string)
		if !codes[code] {
			code = Unknown
		}
		return agreed, notStarted(code, "%s", message)
	}
	var errs [6]error
	var magic, theirs uint64
	agreed.codec = codecs[codecType]
	magic, errs[0] = fields.whole("magicNumber", 0, required)
	theirs, errs[1] = fields.whole("version", 0, required)
	agreed.handleTimeout, errs[2] = fields.whole("handleTimeout", 0, required)
	agreed.maxFrame, errs[3] = fields.whole("maxFrameBytes", leastServerFrame, required)
	agreed.maxInFlight, errs[4] = fields.whole("maxInFlight", leastInFlight, required)
	_, errs[5] = fields.whole("heartbeatInterval", 0, required)
	for _, err := range errs {
		if err != nil {
			return agreed, err
		}
	}
	if agreed.codecType, err = fields.text("codecType", ""); err != nil {
		return agreed, err
	}
	if magic != magicNumber || theirs != version || agreed.codecType != codecType {
		return agreed, errors.New("the answer does not match the option")
	}
	return agreed, nil
}
