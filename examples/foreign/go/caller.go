package troodon

import (
	"context"
	"io"
	"time"
)

// Items are arguments that are a stream. The function sends each item, and returns after the last; an error cancels the
// call. Its context ends with the call.
type Items func(ctx context.Context, send func(item any) error) error

type metadataKey struct{}

// WithMetadata returns a context whose calls carry metadata.
func WithMetadata(ctx context.Context, metadata Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, metadata)
}

// An outgoing is a call that this side has made.
type outgoing struct {
	seq    uint64
	method string
	recv   *recvStream // nil if the caller expects one value
	send   *sendStream
	cancel context.CancelFunc // stops sending items

	done   chan struct{} // closed when result and err are set
	result any
	err    error
}

// Call calls a method that answers with one value, and stores that in the variable to which reply points, unless it is nil.
// The deadline of the call is the context's. An error is an *Error.
func (c *Conn) Call(ctx context.Context, method string, args, reply any) error {
	call, err := c.begin(ctx, method, args, nil)
	if err != nil {
		return err
	}
	defer c.abandon(call)
	select {
	case <-call.done:
	case <-ctx.Done():
		return contextError(ctx, method)
	}
	if call.err != nil {
		return call.err
	}
	return assign(call.result, reply)
}

// A Stream receives what a method answers with.
type Stream struct {
	conn *Conn
	call *outgoing
	ctx  context.Context
}

// Stream calls a method that answers with a stream. Close the stream unless Recv has returned an error.
func (c *Conn) Stream(ctx context.Context, method string, args any) (*Stream, error) {
	call := &outgoing{}
	call.recv = newRecvStream(func(items, bytes uint64) { c.send(kindCredit, call.seq, items, bytes) })
	call, err := c.begin(ctx, method, args, call)
	if err != nil {
		return nil, err
	}
	return &Stream{c, call, ctx}, nil
}

// Recv stores the next item in the variable to which item points. It returns io.EOF after the last one.
func (s *Stream) Recv(item any) error {
	value, err := s.call.recv.recv(s.ctx)
	if err == nil {
		return assign(value, item)
	}
	s.Close()
	if err != io.EOF && s.ctx.Err() == err {
		return contextError(s.ctx, s.call.method)
	}
	return err
}

// Close cancels the call unless it has ended.
func (s *Stream) Close() { s.conn.abandon(s.call) }

// begin sends a Call. It waits while there are too many calls in flight, or too many unsent bytes.
func (c *Conn) begin(ctx context.Context, method string, args any, call *outgoing) (*outgoing, error) {
	if call == nil {
		call = &outgoing{}
	}
	items, streams := args.(Items)
	var body []byte
	var err error
	if !streams {
		if body, err = c.agreed.codec.encode(args); err != nil {
			return nil, notStarted(InvalidArgument, "Cannot encode the arguments of %s: %v", method, err)
		}
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.finished:
		return nil, errFinished()
	case <-ctx.Done():
		return nil, unsentError(ctx, method)
	}
	if err := c.w.wait(ctx); err != nil {
		<-c.slots
		return nil, unsentError(ctx, method)
	}
	call.method, call.send, call.done = method, newSendStream(), make(chan struct{})
	itemsCtx, cancel := context.WithCancel(ctx)
	call.cancel = cancel
	if err := c.sendCall(ctx, call, body); err != nil {
		cancel()
		<-c.slots
		return nil, err
	}
	if streams {
		go c.sendArguments(itemsCtx, call, items)
	}
	return call, nil
}

func unsentError(ctx context.Context, method string) *Error {
	err := contextError(ctx, method)
	err.NotStarted = true
	return err
}

func errFinished() *Error { return notStarted(Unavailable, "The connection accepts no more calls") }

func (c *Conn) sendCall(ctx context.Context, call *outgoing, body []byte) error {
	timeout := int64(0)
	if deadline, ok := ctx.Deadline(); ok {
		if timeout = time.Until(deadline).Milliseconds(); timeout < 1 {
			timeout = 1
		}
	}
	if ctx.Err() != nil {
		return unsentError(ctx, call.method)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isFinished || c.peerDraining || c.draining && len(c.handling) == 0 {
		return errFinished()
	}
	call.seq = c.nextSeq
	header := []any{kindCall, call.seq, call.method, timeout}
	if metadata, ok := ctx.Value(metadataKey{}).(Metadata); ok {
		header = append(header, metadata)
	}
	if err := c.w.send(header, body); err != nil {
		return notStarted(ResourceExhausted, "Cannot send %s: %v", call.method, err)
	}
	c.nextSeq += 2
	c.made[call.seq] = call
	return nil
}

// sendArguments sends the items of a call's arguments, until the call has ended.
func (c *Conn) sendArguments(ctx context.Context, call *outgoing, items Items) {
	err := items(ctx, func(item any) error {
		body, err := c.agreed.codec.encode(item)
		if err != nil {
			return Errorf(InvalidArgument, "Cannot encode an item of %s: %v", call.method, err)
		}
		if err := call.send.spend(ctx, len(body)); err != nil {
			return err
		}
		if err := c.w.wait(ctx); err != nil {
			return err
		}
		return c.sendFor(call, body, kindItem)
	})
	if err == nil {
		err = c.sendFor(call, nil, kindEnd)
	}
	if err != nil && ctx.Err() == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.settle(call, nil, err) {
			c.send(kindCancel, call.seq)
		}
	}
}

// sendFor sends a frame of a call's arguments, unless the call has ended.
func (c *Conn) sendFor(call *outgoing, body []byte, kind int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made[call.seq] != call {
		return context.Canceled
	}
	return c.w.send([]any{kind, call.seq}, body)
}

// settle ends a call with its result or error, and reports whether it had not ended before. c.mu is locked.
func (c *Conn) settle(call *outgoing, result any, err error) bool {
	if c.made[call.seq] != call {
		return false
	}
	delete(c.made, call.seq)
	<-c.slots
	call.cancel()
	call.result, call.err = result, err
	close(call.done)
	if call.recv != nil {
		call.recv.finish(err)
	}
	c.finishIfIdle()
	return true
}

// abandon cancels a call unless it has ended.
func (c *Conn) abandon(call *outgoing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made[call.seq] == call {
		c.send(kindCancel, call.seq)
		c.settle(call, nil, Errorf(Canceled, "%s was canceled", call.method))
	}
}

// onAnswer handles a Reply, an Error, or an Item or End of an answer.
func (c *Conn) onAnswer(f frame) error {
	value, decodeErr := c.decode(f.body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.seq%2 != c.parity || f.seq >= c.nextSeq {
		return malformed("Call %d was never made", f.seq)
	}
	call := c.made[f.seq]
	switch {
	case call == nil: // it has ended
		return nil
	case f.kind == kindError:
		c.settle(call, nil, errorOf(f, value))
		return nil
	case f.kind == kindEnd && call.recv != nil:
		c.settle(call, nil, nil)
		return nil
	case f.kind != kindReply && call.recv == nil:
		if f.kind == kindItem {
			c.send(kindCancel, f.seq)
		}
		c.settle(call, nil, Errorf(Unimplemented, "%s answers with a stream", call.method))
		return nil
	case f.kind == kindReply && call.recv != nil && call.recv.started:
		return malformed("A Reply after Items")
	}
	if f.kind == kindItem {
		if err := call.recv.spend(len(f.body)); err != nil {
			return err
		}
	}
	switch {
	case decodeErr != nil:
		if f.kind == kindItem {
			c.send(kindCancel, f.seq)
		}
		c.settle(call, nil, Errorf(DataLoss, "%v", decodeErr))
	case f.kind == kindItem:
		call.recv.push(value, len(f.body))
	default:
		if call.recv != nil {
			call.recv.push(value, 0) // one value is a stream of one item
		}
		c.settle(call, value, nil)
	}
	return nil
}

// errorOf returns what an Error says. Its details are nil if they cannot be decoded: the error counts.
func errorOf(f frame, details any) *Error {
	err := &Error{Code: f.name, Message: f.message, Details: details, NotStarted: f.notStarted}
	if !codes[f.name] {
		err.Code = Unknown
	}
	return err
}
