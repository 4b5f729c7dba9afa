package troodon

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf8"
)

// The limits of a decoder: docs/PROTOCOL.md, "CBOR". Costs are in 64ths of an item.
const (
	maxDepth       = 64
	maxItems       = 100_000
	maxNumericKeys = 4_096
	maxKeyBytes    = 1_024
	maxBignumBytes = 1_024
)

var errTruncated = errors.New("the data ends too early")

// decodeCBOR reads data as exactly one value: nil, bool, int64, uint64, *big.Int, float64, string, []byte, []any,
// map[string]any, time.Time, Pairs, Tag or Simple.
func decodeCBOR(data []byte) (any, error) {
	d := decoder{data: data}
	value, err := d.value(0)
	if err == nil && len(d.data) > 0 {
		err = errors.New("bytes follow the value")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot decode CBOR: %w", err)
	}
	return value, nil
}

type decoder struct {
	data    []byte // what has not been read
	cost    int
	numbers int // numbers that are keys of maps or elements of sets
}

func (d *decoder) value(depth int) (any, error) {
	if len(d.data) == 0 {
		return nil, errTruncated
	}
	major, info := d.data[0]>>5, d.data[0]&31
	d.data = d.data[1:]
	if major == 7 {
		return d.simple(info)
	}
	if major >= 4 && depth >= maxDepth {
		return nil, fmt.Errorf("more than %d levels", maxDepth)
	}
	indefinite := info == 31 && major >= 2 && major <= 5
	var n uint64
	var err error
	if !indefinite {
		if n, err = d.argument(info); err != nil {
			return nil, err
		}
	}
	switch major {
	case 0:
		if n > math.MaxInt64 {
			return n, nil
		}
		return int64(n), nil
	case 1:
		if n > math.MaxInt64 {
			return new(big.Int).Not(new(big.Int).SetUint64(n)), nil
		}
		return ^int64(n), nil
	case 2:
		if err := d.charge(127); err != nil {
			return nil, err
		}
		return d.chunks(major, n, indefinite)
	case 3:
		if err := d.charge(15); err != nil {
			return nil, err
		}
		text, err := d.chunks(major, n, indefinite)
		return string(text), err
	case 6:
		if err := d.charge(64); err != nil {
			return nil, err
		}
		content, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		return d.tagged(n, content)
	}
	parts, err := d.parts(int(major-3), n, indefinite, depth+1)
	if err != nil || major == 4 {
		return parts, err
	}
	return d.mapOf(parts)
}

func (d *decoder) take(n uint64) ([]byte, error) {
	if n > uint64(len(d.data)) {
		return nil, errTruncated
	}
	taken := d.data[:n:n]
	d.data = d.data[n:]
	return taken, nil
}

func (d *decoder) charge(cost int) error {
	if d.cost += cost; d.cost >= 64*(maxItems+1) {
		return fmt.Errorf("more than %d items", maxItems)
	}
	return nil
}

// argument reads the number that belongs to a head.
func (d *decoder) argument(info byte) (uint64, error) {
	if info < 24 {
		return uint64(info), nil
	}
	if info > 27 {
		return 0, errors.New("a reserved length")
	}
	bytes, err := d.take(1 << (info - 24))
	n := uint64(0)
	for _, each := range bytes {
		n = n<<8 | uint64(each)
	}
	return n, err
}

// atBreak consumes the break that ends an indefinite length, if it is next.
func (d *decoder) atBreak() bool {
	if len(d.data) == 0 || d.data[0] != 0xff {
		return false
	}
	d.data = d.data[1:]
	return true
}

// chunks reads a string. It copies: the frame that contains it is not kept.
func (d *decoder) chunks(major byte, n uint64, indefinite bool) ([]byte, error) {
	joined := []byte{}
	for more := true; more; more = indefinite {
		if indefinite {
			if d.atBreak() {
				break
			}
			if len(d.data) == 0 || d.data[0]>>5 != major {
				return nil, errors.New("a chunk of another type")
			}
			info := d.data[0] & 31
			d.data = d.data[1:]
			var err error
			if n, err = d.argument(info); err != nil {
				return nil, err
			}
			if err := d.charge(64); err != nil {
				return nil, err
			}
		}
		chunk, err := d.take(n)
		if err != nil {
			return nil, err
		}
		if major == 3 && !utf8.Valid(chunk) {
			return nil, errors.New("text that is not UTF-8")
		}
		joined = append(joined, chunk...)
	}
	return joined, nil
}

// parts reads the elements of an array, or the keys and values of a map.
func (d *decoder) parts(each int, n uint64, indefinite bool, depth int) ([]any, error) {
	if n > uint64(len(d.data)) || n*uint64(each) > uint64(len(d.data)) {
		return nil, errTruncated
	}
	total := int(n) * each
	if err := d.charge(15 + total); err != nil {
		return nil, err
	}
	parts := make([]any, 0, total)
	for len(parts) < total || indefinite && !d.atBreak() {
		if indefinite {
			if err := d.charge(1); err != nil {
				return nil, err
			}
		}
		part, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		if _, ok := part.(string); ok && each == 2 && len(parts)%2 == 0 {
			d.cost -= 13 // rows have the same keys; a decoder may count less than the table says
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func (d *decoder) mapOf(parts []any) (any, error) {
	if len(parts)%2 != 0 {
		return nil, errors.New("a key without a value")
	}
	keys, pairs, isText := make([]any, len(parts)/2), make(Pairs, len(parts)/2), true
	for i := range pairs {
		keys[i], pairs[i] = parts[2*i], [2]any{parts[2*i], parts[2*i+1]}
		_, ok := keys[i].(string)
		isText = isText && ok
	}
	if err := d.distinct(keys, "a key"); err != nil || !isText {
		return pairs, err
	}
	fields := make(map[string]any, len(pairs))
	for _, pair := range pairs {
		fields[pair[0].(string)] = pair[1]
	}
	if _, ok := fields["__proto__"]; ok {
		return nil, errors.New("the key __proto__")
	}
	return fields, nil
}

// distinct rejects duplicates. Numbers are compared by value, whatever their encoding.
func (d *decoder) distinct(values []any, what string) error {
	seen := make(map[string]struct{}, len(values))
	for _, value := range values {
		switch v := value.(type) {
		case int64, uint64, *big.Int:
			d.numbers++
		case float64:
			d.numbers++
			value = canonical(v)
		}
		key, err := appendCBOR(nil, value)
		if err != nil {
			return err
		}
		if len(key) > maxKeyBytes+3 {
			return fmt.Errorf("%s of more than %d bytes", what, maxKeyBytes)
		}
		if _, ok := seen[string(key)]; ok {
			return fmt.Errorf("%s occurs twice", what)
		}
		seen[string(key)] = struct{}{}
	}
	if d.numbers > maxNumericKeys {
		return fmt.Errorf("more than %d numbers as keys", maxNumericKeys)
	}
	return nil
}

// canonical returns the integer that f is equal to, if there is one.
func canonical(f float64) any {
	if math.IsNaN(f) {
		return math.NaN()
	}
	n, accuracy := big.NewFloat(f).Int(nil)
	if n == nil || accuracy != big.Exact {
		return f
	}
	if n.IsInt64() {
		return n.Int64()
	}
	if n.IsUint64() {
		return n.Uint64()
	}
	return n
}

// elementBytes is how long an element of a typed array is, by its tag (RFC 8746).
var elementBytes = map[uint64]int{64: 1, 65: 2, 66: 4, 67: 8, 68: 1, 69: 2, 70: 4, 71: 8, 72: 1, 73: 2, 74: 4, 75: 8,
	77: 2, 78: 4, 79: 8, 80: 2, 81: 4, 82: 8, 84: 2, 85: 4, 86: 8}

func (d *decoder) tagged(number uint64, content any) (any, error) {
	wrong := fmt.Errorf("invalid content of tag %d", number)
	bytes, isBytes := content.([]byte)
	switch number {
	case 0:
		text, _ := content.(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return nil, wrong
		}
		return at, nil
	case 1:
		switch seconds := content.(type) {
		case int64:
			return time.Unix(seconds, 0).UTC(), nil
		case float64:
			if math.IsNaN(seconds) || math.Abs(seconds) > 1e11 {
				return nil, wrong
			}
			whole, fraction := math.Modf(seconds)
			return time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1_000).UTC(), nil
		}
		return nil, wrong
	case 2, 3:
		if !isBytes || len(bytes) > maxBignumBytes {
			return nil, wrong
		}
		n := new(big.Int).SetBytes(bytes)
		if number == 3 {
			n.Not(n)
		}
		return n, d.charge(len(bytes) / 16 * 64)
	case 258:
		values, ok := content.([]any)
		if !ok {
			return nil, wrong
		}
		return Tag{number, content}, d.distinct(values, "a value of a set")
	case 259:
		switch content.(type) {
		case map[string]any, Pairs:
			return Tag{number, content}, nil
		}
		return nil, wrong
	case 55799: // "this is CBOR"
		return content, nil
	}
	if size, ok := elementBytes[number]; ok && (!isBytes || len(bytes)%size != 0) {
		return nil, wrong
	}
	return Tag{number, content}, nil
}

func (d *decoder) simple(info byte) (any, error) {
	switch info {
	case 20, 21:
		return info == 21, nil
	case 22:
		return nil, nil
	}
	if info < 24 {
		return Simple(info), nil
	}
	if info > 27 {
		return nil, errors.New("a reserved value or a stray break")
	}
	n, err := d.argument(info)
	switch {
	case err != nil:
		return nil, err
	case info == 27:
		return math.Float64frombits(n), nil
	case info == 26:
		return float64(math.Float32frombits(uint32(n))), nil
	case info == 25:
		return float16(uint16(n)), nil
	case n < 32:
		return nil, errors.New("a reserved simple value")
	}
	return Simple(n), nil
}

func float16(bits uint16) float64 {
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	f := math.Ldexp(fraction+1024, exponent-25)
	switch {
	case exponent == 0:
		f = math.Ldexp(fraction, -24)
	case exponent == 31 && fraction == 0:
		f = math.Inf(1)
	case exponent == 31:
		f = math.NaN()
	}
	return math.Copysign(f, 1-2*float64(bits>>15))
}
