package troodon

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"
)

const (
	frameTimeout     = 30 * time.Second
	heartbeatTimeout = 10 * time.Second
	linger           = time.Second
	lingerBytes      = 1_048_576
	defaultInFlight  = 1_024
	defaultHeartbeat = 30 * time.Second
)

// A Conn is a connection after its handshake. Both sides make and answer calls on it, from any goroutine.
type Conn struct {
	conn        net.Conn
	parity      uint64 // of this side's calls
	r           *bufio.Reader
	w           *frameWriter
	agreed      agreement
	methods     Methods
	maxInFlight int    // calls of the peer
	maxFrame    uint64 // of this side
	heartbeat   time.Duration
	logger      *log.Logger
	slots       chan struct{} // one element for each call that this side has in flight
	finished    chan struct{} // closed when there is nothing to do any more
	closed      chan struct{} // closed when the connection is

	mu           sync.Mutex
	nextSeq      uint64 // of this side's calls
	lastSeq      uint64 // of the peer's
	made         map[uint64]*outgoing
	handling     map[uint64]*Call
	draining     bool // this side has sent GoAway
	peerDraining bool
	peerEnded    bool
	isFinished   bool
}

// start runs a connection whose handshake is done.
func (c *Conn) start() *Conn {
	c.w = newFrameWriter(c.conn, c.agreed.maxFrame)
	c.finished, c.closed = make(chan struct{}), make(chan struct{})
	c.nextSeq = 2 - c.parity
	c.made, c.handling = map[uint64]*outgoing{}, map[uint64]*Call{}
	slots := c.agreed.maxInFlight
	if slots > 1<<20 {
		slots = 1 << 20
	}
	if slots == 0 {
		slots = defaultInFlight // a client does not say how many it accepts
	}
	c.slots = make(chan struct{}, slots)
	go c.loop()
	return c
}

// Close cancels the calls in flight, and closes the connection.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.goAway(Unavailable, "Shutting down")
	c.abort(Errorf(Canceled, "The connection was closed"))
	c.mu.Unlock()
	<-c.closed
	return nil
}

// Shutdown accepts no further calls, waits for those in flight, and closes the connection.
func (c *Conn) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.goAway(Unavailable, "Shutting down")
	c.finishIfIdle()
	c.mu.Unlock()
	select {
	case <-c.closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done returns a channel that is closed when the connection is.
func (c *Conn) Done() <-chan struct{} { return c.closed }

// loop reads until the end, then closes.
func (c *Conn) loop() {
	defer close(c.closed)
	err := c.read()
	var broken *violation
	switch {
	case errors.As(err, &broken):
		c.mu.Lock()
		c.draining = false // a GoAway with this code follows, even after another one
		c.goAway(broken.code, broken.message)
		c.abort(Errorf(Unavailable, "The connection was closed: %v", broken))
		c.mu.Unlock()
	case err != nil:
		c.mu.Lock()
		c.abort(Errorf(Unavailable, "The connection was lost: %v", err))
		c.mu.Unlock()
		c.conn.Close()
	}
	c.w.close()
	c.mu.Lock()
	peerEnded := c.peerEnded
	c.mu.Unlock()
	closeCarefully(c.conn, c.r, peerEnded)
}

// closeCarefully half-closes, and discards input until the peer's end: closing with unread input would send a reset, which
// destroys what the peer has not read yet.
func closeCarefully(conn net.Conn, r io.Reader, peerEnded bool) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil && !peerEnded {
		conn.SetReadDeadline(time.Now().Add(linger))
		io.CopyN(io.Discard, r, lingerBytes)
	}
	conn.Close()
}

// read handles frames until the connection is finished. The error is a *violation, or says why the connection is lost.
func (c *Conn) read() error {
	for {
		content, err := c.nextFrame()
		select {
		case <-c.finished:
			return nil
		default:
		}
		if err == io.EOF {
			return c.onEnd()
		}
		if err != nil {
			return err
		}
		f, err := readFrame(content)
		if err != nil {
			return err
		}
		if err := c.handle(f); err != nil {
			return err
		}
		if f.kind == kindCall || f.kind == kindPing {
			c.w.wait(context.Background()) // a peer that does not read is not read from
		}
	}
}

// nextFrame reads the next frame without its head; io.EOF if the peer has ended between two frames. Buffers grow as bytes
// arrive, whatever length the head announces.
func (c *Conn) nextFrame() ([]byte, error) {
	if err := c.awaitByte(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(frameTimeout)
	c.setReadDeadline(deadline)
	var head [5]byte
	if _, err := io.ReadFull(c.r, head[:1]); err != nil {
		return nil, err
	}
	if head[0] != 0x5a {
		return nil, malformed("A frame must begin with 0x5a")
	}
	if _, err := io.ReadFull(c.r, head[1:]); err != nil {
		return nil, frameError(err)
	}
	length := uint64(head[1])<<24 | uint64(head[2])<<16 | uint64(head[3])<<8 | uint64(head[4])
	if length == 0 {
		return nil, malformed("The length of a frame is 0")
	}
	if length > c.maxFrame {
		return nil, &violation{ResourceExhausted, "A frame exceeds maxFrameBytes"}
	}
	var content []byte
	for uint64(len(content)) < length {
		n := length - uint64(len(content))
		if n > 65_536 {
			n = 65_536
		}
		start := len(content)
		content = append(content, make([]byte, n)...)
		if _, err := io.ReadFull(c.r, content[start:]); err != nil {
			return nil, frameError(err)
		}
		deadline = deadline.Add(time.Second)
		c.setReadDeadline(deadline)
	}
	return content, nil
}

// frameError is the error of a read within a frame.
func frameError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &violation{DeadlineExceeded, "A frame was not complete in time"}
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// awaitByte waits for the first byte of a frame, with a Ping after a silence.
func (c *Conn) awaitByte() error {
	c.setReadDeadline(time.Now().Add(c.heartbeat))
	_, err := c.r.Peek(1)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.send(kindPing, 0)
	c.setReadDeadline(time.Now().Add(heartbeatTimeout))
	_, err = c.r.Peek(1)
	return err
}

// setReadDeadline has no effect once the connection is finished: then reads must return.
func (c *Conn) setReadDeadline(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isFinished {
		c.conn.SetReadDeadline(at)
	}
}

func (c *Conn) handle(f frame) error {
	isMine := f.seq%2 == c.parity
	switch {
	case f.kind == kindCall:
		return c.onCall(f)
	case f.kind == kindReply, f.kind == kindError, isMine && (f.kind == kindItem || f.kind == kindEnd):
		return c.onAnswer(f)
	case f.kind == kindItem, f.kind == kindEnd:
		return c.onArgument(f)
	case f.kind == kindPing:
		c.send(kindPong, f.seq)
	case f.kind == kindGoAway:
		c.onGoAway(f)
	case f.kind == kindCancel || f.kind == kindCredit:
		c.mu.Lock()
		defer c.mu.Unlock()
		call, made := c.handling[f.seq], c.made[f.seq]
		switch {
		case f.kind == kindCredit && made != nil:
			return made.send.credit(f.items, f.bytes)
		case call == nil || call.closed:
		case f.kind == kindCredit:
			return call.send.credit(f.items, f.bytes)
		default:
			call.closed = true
			call.cancel()
		}
	}
	return nil
}

func (c *Conn) onGoAway(f frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peerDraining = true
	for seq, call := range c.made {
		if seq > f.seq {
			c.settle(call, nil, notStarted(Unavailable, "%s", f.message))
		} else if f.name != Unavailable {
			c.settle(call, nil, Errorf(Unavailable, "%s", f.message))
		}
	}
	c.finishIfIdle()
}

// onEnd handles the end of the peer's stream: its calls are still answered, those of this side cannot be.
func (c *Conn) onEnd() error {
	lost := Errorf(Unavailable, "The peer has ended the connection")
	c.mu.Lock()
	c.peerEnded = true
	for _, call := range c.made {
		c.settle(call, nil, lost)
	}
	for _, call := range c.handling {
		call.send.end(lost)
		if call.recv != nil {
			call.recv.finish(lost)
		}
	}
	c.finishIfIdle()
	c.mu.Unlock()
	for probe := time.NewTicker(time.Second); ; {
		select {
		case <-c.finished:
			probe.Stop()
			return nil
		case <-c.w.ended: // the peer is gone
			probe.Stop()
			return io.ErrClosedPipe
		case <-probe.C:
			c.send(kindPing, 0)
		}
	}
}

// finishIfIdle finishes a connection that accepts no calls and has none in flight. c.mu is locked.
func (c *Conn) finishIfIdle() {
	if (c.draining || c.peerDraining || c.peerEnded) && len(c.made) == 0 && len(c.handling) == 0 {
		c.finish()
	}
}

func (c *Conn) finish() {
	if !c.isFinished {
		c.isFinished = true
		close(c.finished)
		c.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	}
}

// abort ends every call of both sides. c.mu is locked.
func (c *Conn) abort(err error) {
	for _, call := range c.made {
		c.settle(call, nil, err)
	}
	for _, call := range c.handling {
		call.closed = true
		call.cancel()
	}
	c.finish()
}

// goAway sends a GoAway, unless there was one. c.mu is locked.
func (c *Conn) goAway(code, message string) {
	if !c.draining && !c.isFinished {
		c.draining = true
		c.w.send([]any{kindGoAway, c.lastSeq, code, cut(message, 128)}, nil)
	}
}

// send sends a frame without body that is always short enough.
func (c *Conn) send(header ...any) { c.w.send(header, nil) }

// decode decodes a body; none is nil.
func (c *Conn) decode(body []byte) (any, error) {
	if len(body) == 0 {
		return nil, nil
	}
	return c.agreed.codec.decode(body)
}

func (c *Conn) logf(format string, args ...any) {
	if c.logger != nil {
		c.logger.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}
