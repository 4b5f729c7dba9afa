package troodon

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	maxUnsent    = 8_388_608
	writeTimeout = 10 * time.Second
	writeChunk   = 65_536 // what must be written within writeTimeout
)

// A frameWriter sends frames in the order in which they were appended. Appending never blocks; what adds work waits for
// room first.
type frameWriter struct {
	conn  net.Conn
	limit uint64        // the peer's maxFrameBytes
	wake  chan struct{} // of capacity 1: there is something to do
	ended chan struct{} // closed when nothing will be written any more

	mu      sync.Mutex
	pending []byte
	writing int           // bytes that were taken from pending, and are not written yet
	room    chan struct{} // if not nil, closed when there is room again
	closed  bool
}

func newFrameWriter(conn net.Conn, limit uint64) *frameWriter {
	w := &frameWriter{conn: conn, limit: limit, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go w.run()
	return w
}

// send appends a frame. The error is an *Error if the frame is too long; a lost connection is none.
func (w *frameWriter) send(header []any, body []byte) (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending, err = appendFrame(w.pending, w.limit, header, body)
	w.notify()
	return err
}

func (w *frameWriter) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// wait waits until less than half of maxUnsent is unsent.
func (w *frameWriter) wait(ctx context.Context) error {
	for {
		w.mu.Lock()
		if len(w.pending)+w.writing < maxUnsent/2 {
			w.mu.Unlock()
			return nil
		}
		if w.room == nil {
			w.room = make(chan struct{})
		}
		room := w.room
		w.mu.Unlock()
		select {
		case <-room:
		case <-w.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close writes what is pending, and returns when that is done or has failed.
func (w *frameWriter) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.notify()
	<-w.ended
}

func (w *frameWriter) run() {
	defer close(w.ended)
	var spare []byte
	for range w.wake {
		w.mu.Lock()
		batch, closed := w.pending, w.closed
		w.pending, w.writing = spare[:0], len(batch)
		w.mu.Unlock()
		if err := w.write(batch); err != nil {
			w.conn.Close() // the reader then ends the calls
			return
		}
		if spare = batch; cap(spare) > writeChunk {
			spare = nil
		}
		if closed {
			return
		}
	}
}

func (w *frameWriter) write(batch []byte) error {
	for len(batch) > 0 {
		n := len(batch)
		if n > writeChunk {
			n = writeChunk
		}
		w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.conn.Write(batch[:n]); err != nil {
			return err
		}
		batch = batch[n:]
		w.mu.Lock()
		if w.writing -= n; w.room != nil && len(w.pending)+w.writing < maxUnsent/2 {
			close(w.room)
			w.room = nil
		}
		w.mu.Unlock()
	}
	return nil
}
