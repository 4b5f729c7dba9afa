package troodon

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"sort"
	"strings"
	"time"
)

// A Tag is a tagged value without an equivalent in Go, such as a set (258) or a typed array (64 to 87).
type Tag struct {
	Number uint64
	Value  any
}

// MarshalJSON returns the value alone, so that a set can be received as a slice.
func (t Tag) MarshalJSON() ([]byte, error) { return json.Marshal(t.Value) }

// Simple is a simple value without an equivalent in Go.
type Simple byte

// MarshalJSON returns null, so that undefined leaves a variable as it is.
func (s Simple) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// Undefined is what JavaScript distinguishes from null.
const Undefined Simple = 23

// Pairs is a map with keys that are not text, in the order in which it was written.
type Pairs [][2]any

const largest = 1<<53 - 1 // the largest integer that every peer reads as a number

// appendHead appends the head of an item in its shortest form.
func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, 1, ^uint64(n))
	}
	return appendHead(b, 0, uint64(n))
}

// appendCBOR appends one value. Structs are maps, with the names of their json tags.
func appendCBOR(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(b, 0xf6), nil
	case []byte:
		return append(appendHead(b, 2, uint64(len(v))), v...), nil
	case *big.Int:
		return appendBig(b, v), nil
	case time.Time:
		b = appendHead(b, 6, 1)
		if v.Nanosecond() == 0 {
			return appendInt(b, v.Unix()), nil
		}
		return appendFloat(b, float64(v.UnixMicro())/1e6), nil
	case Tag:
		return appendCBOR(appendHead(b, 6, v.Number), v.Value)
	case Simple:
		if v >= 24 && v < 32 {
			return nil, fmt.Errorf("cannot encode the reserved simple value %d", v)
		}
		return appendHead(b, 7, uint64(v)), nil
	case Pairs:
		b = appendHead(b, 5, uint64(len(v)))
		var err error
		for i := 0; i < 2*len(v) && err == nil; i++ {
			b, err = appendCBOR(b, v[i/2][i%2])
		}
		return b, err
	}
	return appendReflected(b, reflect.ValueOf(value))
}

func appendText(b []byte, text string) []byte {
	text = strings.ToValidUTF8(text, "\uFFFD")
	return append(appendHead(b, 3, uint64(len(text))), text...)
}

func appendFloat(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0xfb), math.Float64bits(f))
}

// appendBig keeps the type: a peer in JavaScript reads a bignum, and an integer above 2^53-1, as a bigint.
func appendBig(b []byte, n *big.Int) []byte {
	major, magnitude := byte(0), n
	if n.Sign() < 0 {
		major, magnitude = 1, new(big.Int).Not(n) // -1-n
	}
	if magnitude.IsUint64() && magnitude.Uint64() >= largest+1-uint64(major) {
		return appendHead(b, major, magnitude.Uint64())
	}
	bytes := magnitude.Bytes()
	return append(appendHead(append(b, 0xc2+major), 2, uint64(len(bytes))), bytes...)
}

func appendReflected(b []byte, v reflect.Value) ([]byte, error) {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 0xf5), nil
		}
		return append(b, 0xf4), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return appendInt(b, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return appendHead(b, 0, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return appendFloat(b, v.Float()), nil
	case reflect.String:
		return appendText(b, v.String()), nil
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			return appendCBOR(b, v.Bytes())
		}
		b = appendHead(b, 4, uint64(v.Len()))
		var err error
		for i := 0; i < v.Len() && err == nil; i++ {
			b, err = appendCBOR(b, v.Index(i).Interface())
		}
		return b, err
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0xf6), nil
		}
		return appendCBOR(b, v.Elem().Interface())
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			fields := make(map[string]any, v.Len())
			for _, key := range v.MapKeys() {
				fields[key.String()] = v.MapIndex(key).Interface()
			}
			return appendFields(b, fields)
		}
	case reflect.Struct:
		return appendFields(b, fieldsOf(v))
	}
	return nil, fmt.Errorf("cannot encode a value of type %v", v.Type())
}

// appendFields appends a map with sorted keys: a decoder that has seen them in this order reads them faster.
func appendFields(b []byte, fields map[string]any) ([]byte, error) {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	b = appendHead(b, 5, uint64(len(names)))
	var err error
	for _, name := range names {
		if b, err = appendCBOR(appendText(b, name), fields[name]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func fieldsOf(v reflect.Value) map[string]any {
	fields := make(map[string]any, v.NumField())
	for i := 0; i < v.NumField(); i++ {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		if field.IsExported() && name != "-" && !(options == "omitempty" && v.Field(i).IsZero()) {
			fields[name] = v.Field(i).Interface()
		}
	}
	return fields
}
