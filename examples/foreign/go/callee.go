package troodon

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// Methods are what a side can be called for, by their full name, such as "Arith.sum".
type Methods map[string]Method

// A Method answers calls.
type Method struct {
	// Serve answers one call, and returns its result. The context ends with the call. An error that is not an *Error is
	// logged, and its caller receives the code internal.
	Serve func(ctx context.Context, call *Call) (any, error)
	// TakesStream: the arguments are a stream, which the call's Recv returns.
	TakesStream bool
	// SendsStream: the answer is a stream, which consists of what Serve passes to the call's Send.
	SendsStream bool
}

// Func returns a Method that takes one value, and answers with one value.
func Func[A, R any](serve func(ctx context.Context, args A) (R, error)) Method {
	return Method{Serve: func(ctx context.Context, call *Call) (any, error) {
		var args A
		if err := call.Args(&args); err != nil {
			return nil, err
		}
		return serve(ctx, args)
	}}
}

// A Call is a call that is being answered.
type Call struct {
	Conn     *Conn // to call the caller back
	Metadata Metadata

	ctx    context.Context
	seq    uint64
	args   any
	recv   *recvStream // nil if the arguments are one value
	send   *sendStream
	cancel context.CancelFunc
	closed bool // it was answered or canceled; guarded by Conn.mu
}

// Args stores the arguments in the variable to which args points.
func (call *Call) Args(args any) error { return assign(call.args, args) }

// Recv stores the next item of the arguments. It returns io.EOF after the last one.
func (call *Call) Recv(item any) error {
	value, err := call.recv.recv(call.ctx)
	if err != nil {
		return err
	}
	return assign(value, item)
}

// Send sends an item of the answer. It waits for the caller to take earlier ones.
func (call *Call) Send(item any) error {
	if err := call.ctx.Err(); err != nil {
		return err
	}
	c := call.Conn
	body, err := c.agreed.codec.encode(item)
	if err != nil {
		return fmt.Errorf("cannot encode an item: %w", err)
	}
	if err := call.send.spend(call.ctx, len(body)); err != nil {
		return err
	}
	if err := c.w.wait(call.ctx); err != nil {
		return err
	}
	return c.answer(call, false, []any{kindItem, call.seq}, body)
}

// onCall starts the handler of a call, or refuses it.
func (c *Conn) onCall(f frame) error {
	c.mu.Lock()
	if f.seq%2 == c.parity || f.seq <= c.lastSeq {
		c.mu.Unlock()
		return malformed("Call %d has a wrong number", f.seq)
	}
	dropped, inFlight := c.draining, len(c.handling)
	if !dropped {
		c.lastSeq = f.seq
	}
	c.mu.Unlock()
	if dropped {
		return nil
	}
	call := &Call{Conn: c, Metadata: f.metadata, seq: f.seq, send: newSendStream()}
	method, err := c.find(f, inFlight)
	if err == nil && !method.TakesStream {
		if call.args, err = c.decode(f.body); err != nil {
			err = Errorf(InvalidArgument, "%v", err)
		}
	}
	if err != nil {
		c.fail(call, err.(*Error), Metadata{"not-started": ""})
		return nil
	}
	if method.TakesStream {
		call.recv = newRecvStream(func(items, bytes uint64) { c.send(kindCredit, call.seq, items, bytes) })
	}
	for name := range call.Metadata {
		if strings.HasPrefix(name, "rpc-") || name == "not-started" {
			delete(call.Metadata, name)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handling[f.seq] = call
	if limit := shorter(f.timeout, c.agreed.handleTimeout); limit == 0 {
		call.ctx, call.cancel = context.WithCancel(context.Background())
		go c.serve(call, method, f.name)
	} else {
		call.ctx, call.cancel = context.WithTimeout(context.Background(), limit)
		timer := time.AfterFunc(limit, func() {
			c.fail(call, Errorf(DeadlineExceeded, "%s was not answered within %v", f.name, limit), nil)
		})
		go func() {
			defer timer.Stop()
			c.serve(call, method, f.name)
		}()
	}
	return nil
}

// find returns the method of a call, or an *Error.
func (c *Conn) find(f frame, inFlight int) (Method, error) {
	if inFlight >= c.maxInFlight {
		return Method{}, Errorf(ResourceExhausted, "More than %d calls are in flight", c.maxInFlight)
	}
	dot := strings.LastIndexByte(f.name, '.')
	if dot <= 0 || dot == len(f.name)-1 {
		return Method{}, Errorf(Unimplemented, "The name of a method has the form Service.Method")
	}
	method, ok := c.methods[f.name]
	if !ok {
		return Method{}, Errorf(Unimplemented, "Unknown service or method")
	}
	if method.TakesStream != (len(f.body) == 0) {
		return Method{}, Errorf(InvalidArgument, "The method takes a stream if and only if the call has no body")
	}
	return method, nil
}

// shorter returns the shorter of two times in ms, where 0 is the longest.
func shorter(a, b uint64) time.Duration {
	if a == 0 || b != 0 && b < a {
		a = b
	}
	if a > 1<<43 { // 278 years: more than a Duration can hold
		a = 0
	}
	return time.Duration(a) * time.Millisecond
}

// serve runs a handler, and answers its call.
func (c *Conn) serve(call *Call, method Method, name string) {
	defer func() {
		call.cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		call.closed = true
		delete(c.handling, call.seq)
		c.finishIfIdle()
	}()
	result, err := run(call, method)
	if err == nil && method.SendsStream {
		err = c.answer(call, true, []any{kindEnd, call.seq}, nil)
	} else if err == nil {
		var body []byte
		if body, err = c.agreed.codec.encode(result); err == nil {
			err = c.answer(call, true, []any{kindReply, call.seq}, body)
		}
	}
	if err == nil {
		return
	}
	var known *Error
	switch {
	case errors.As(err, &known):
	case errors.Is(err, context.DeadlineExceeded):
		known = Errorf(DeadlineExceeded, "%s was not answered before its deadline", name)
	case errors.Is(err, context.Canceled):
		known = Errorf(Canceled, "%s was canceled", name)
	default:
		c.logf("%s failed: %v", name, err)
		known = Errorf(Internal, "The handler failed")
	}
	c.fail(call, known, nil)
}

// run calls a handler. A panic fails its call only.
func run(call *Call, method Method) (result any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v\n%s", reason, debug.Stack())
		}
	}()
	return method.Serve(call.ctx, call)
}

// answer sends a frame of an answer, unless the call has ended. The last one ends it.
func (c *Conn) answer(call *Call, last bool, header []any, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.closed {
		return nil
	}
	if err := c.w.send(header, body); err != nil {
		return err
	}
	call.closed = last
	return nil
}

// fail answers a call with an Error, shortened if the peer does not accept its length, and stops its handler.
func (c *Conn) fail(call *Call, err *Error, metadata Metadata) {
	code := err.Code
	if !codes[code] {
		code = Unknown
	}
	header := []any{kindError, call.seq, code, cut(err.Message, maxMessage)}
	if metadata != nil {
		header = append(header, metadata)
	}
	var body []byte
	if err.Details != nil {
		body, _ = c.agreed.codec.encode(err.Details) // an Error whose details cannot be carried has none
	}
	sent := c.answer(call, true, header, body)
	if sent != nil {
		sent = c.answer(call, true, header, nil)
	}
	if sent != nil {
		header[3] = cut(err.Message, 64)
		c.answer(call, true, header, nil)
	}
	if call.cancel != nil {
		call.cancel()
	}
}

// onArgument handles an Item or End of a call's arguments.
func (c *Conn) onArgument(f frame) error {
	c.mu.Lock()
	call, isUnknown := c.handling[f.seq], f.seq > c.lastSeq && !c.draining
	ended := call == nil || call.closed
	c.mu.Unlock()
	switch {
	case isUnknown:
		return malformed("Call %d was never made", f.seq)
	case ended:
		return nil
	case call.recv == nil:
		c.fail(call, Errorf(InvalidArgument, "The method does not take a stream"), nil)
		return nil
	case f.kind == kindEnd:
		if !call.recv.finish(nil) {
			return malformed("A second End")
		}
		return nil
	}
	if err := call.recv.spend(len(f.body)); err != nil {
		return err
	}
	value, err := c.decode(f.body)
	if err != nil {
		c.fail(call, Errorf(InvalidArgument, "%v", err), nil)
		return nil
	}
	call.recv.push(value, len(f.body))
	return nil
}
