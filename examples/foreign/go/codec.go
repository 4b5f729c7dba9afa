package troodon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"
)

const (
	cborType = "application/cbor"
	jsonType = "application/json"
)

// A codec encodes the bodies of a connection.
type codec struct {
	encode func(value any) ([]byte, error)
	decode func(body []byte) (any, error)
}

var codecs = map[string]codec{
	cborType: {func(value any) ([]byte, error) { return appendCBOR(nil, value) }, decodeCBOR},
	jsonType: {encodeJSON, decodeJSON},
}

// encodeJSON refuses values that JSON cannot carry: encoding/json would write bytes as base64.
func encodeJSON(value any) ([]byte, error) {
	body, err := appendCBOR(nil, value)
	if err != nil {
		return nil, err
	}
	plain, err := decodeCBOR(body)
	if err != nil {
		return nil, err
	}
	if err := checkJSON(plain); err != nil {
		return nil, err
	}
	return json.Marshal(plain)
}

func checkJSON(value any) error {
	switch v := value.(type) {
	case []any:
		for _, each := range v {
			if err := checkJSON(each); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, each := range v {
			if err := checkJSON(each); err != nil {
				return err
			}
		}
	case nil, bool, int64, uint64, float64, string:
	default:
		return fmt.Errorf("cannot encode JSON: it has no %T", value)
	}
	return nil
}

func decodeJSON(body []byte) (any, error) {
	if !utf8.Valid(body) { // encoding/json would replace what is not
		return nil, errors.New("cannot decode JSON: text that is not UTF-8")
	}
	if err := checkJSONLimits(body); err != nil {
		return nil, fmt.Errorf("cannot decode JSON: %w", err)
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return nil, fmt.Errorf("cannot decode JSON: %w", err)
	}
	return value, nil
}

// checkJSONLimits counts levels and items, and refuses the name __proto__.
func checkJSONLimits(body []byte) error {
	tokens := json.NewDecoder(bytes.NewReader(body))
	depth, items := 0, 0
	for {
		token, err := tokens.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
			items--
		case "__proto__":
			if isName(tokens, body) {
				return errors.New("the name __proto__")
			}
		}
		if items++; depth > maxDepth || items > maxItems+1 {
			return errors.New("nested too deeply, or too many items")
		}
	}
}

// isName reports whether the token that was just read is a name: a colon follows.
func isName(tokens *json.Decoder, body []byte) bool {
	rest := bytes.TrimLeft(body[tokens.InputOffset():], " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// assign stores a decoded value in the variable to which into points, as it is if the types allow that, and otherwise by
// the rules of encoding/json: structs, and lists of other types than any.
func assign(value, into any) error {
	if into == nil {
		return nil
	}
	from, to := reflect.ValueOf(value), reflect.ValueOf(into)
	if from.IsValid() && to.Kind() == reflect.Pointer && from.Type().AssignableTo(to.Type().Elem()) {
		to.Elem().Set(from)
		return nil
	}
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return Errorf(InvalidArgument, "Cannot use the value: %v", err)
	}
	return nil
}
