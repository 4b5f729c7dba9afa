package troodon

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The codes of errors. They and their meaning are gRPC's.
const (
	Canceled           = "canceled"
	Unknown            = "unknown"
	InvalidArgument    = "invalid_argument"
	DeadlineExceeded   = "deadline_exceeded"
	NotFound           = "not_found"
	AlreadyExists      = "already_exists"
	PermissionDenied   = "permission_denied"
	ResourceExhausted  = "resource_exhausted"
	FailedPrecondition = "failed_precondition"
	Aborted            = "aborted"
	OutOfRange         = "out_of_range"
	Unimplemented      = "unimplemented"
	Internal           = "internal"
	Unavailable        = "unavailable"
	DataLoss           = "data_loss"
	Unauthenticated    = "unauthenticated"
)

var codes = map[string]bool{Canceled: true, Unknown: true, InvalidArgument: true, DeadlineExceeded: true,
	NotFound: true, AlreadyExists: true, PermissionDenied: true, ResourceExhausted: true, FailedPrecondition: true,
	Aborted: true, OutOfRange: true, Unimplemented: true, Internal: true, Unavailable: true, DataLoss: true,
	Unauthenticated: true}

// An Error is the error of a call. A handler that returns one chooses what its caller receives.
type Error struct {
	Code    string
	Message string
	// Details is any value that the codec can carry; nil is none.
	Details any
	// NotStarted is true if it is certain that no handler was started, so the call may be sent again.
	NotStarted bool
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap makes errors.Is recognize context.Canceled and context.DeadlineExceeded, whichever side ended the call.
func (e *Error) Unwrap() error {
	switch e.Code {
	case Canceled:
		return context.Canceled
	case DeadlineExceeded:
		return context.DeadlineExceeded
	}
	return nil
}

// Errorf returns an Error with a formatted message.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func notStarted(code, format string, args ...any) *Error {
	err := Errorf(code, format, args...)
	err.NotStarted = true
	return err
}

// contextError is the error of a call whose context is done.
func contextError(ctx context.Context, method string) *Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Errorf(DeadlineExceeded, "%s was not answered before its deadline", method)
	}
	return Errorf(Canceled, "%s was canceled", method)
}

// A violation of the protocol by the peer ends the connection with a GoAway of its code.
type violation struct{ code, message string }

func (v *violation) Error() string { return v.message }

func malformed(format string, args ...any) *violation {
	return &violation{InvalidArgument, fmt.Sprintf(format, args...)}
}

// cut shortens a text to at most n bytes, between two characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
