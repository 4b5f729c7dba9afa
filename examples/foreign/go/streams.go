package troodon

import (
	"context"
	"io"
	"sync"
)

const (
	firstItems = 64
	firstBytes = 262_144
)

// A recvStream is the receiving half of a stream: items that wait for their consumer, and the sender's credit.
type recvStream struct {
	items chan item                 // has room for all items for which there is credit
	grant func(items, bytes uint64) // sends Credit

	mu           sync.Mutex
	creditItems  int
	creditBytes  int
	takenItems   int // taken by the consumer since the last Credit
	takenBytes   int
	started, end bool
	err          error // what follows the last item; nil is io.EOF
}

type item struct {
	value any
	size  int
}

func newRecvStream(grant func(items, bytes uint64)) *recvStream {
	return &recvStream{items: make(chan item, firstItems), grant: grant, creditItems: firstItems, creditBytes: firstBytes}
}

// spend charges an Item of the peer. The error is a *violation.
func (s *recvStream) spend(size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end {
		return malformed("An Item after the End of its stream")
	}
	if s.creditItems <= 0 || s.creditBytes <= 0 {
		return &violation{ResourceExhausted, "An Item without credit"}
	}
	s.started = true
	s.creditItems--
	s.creditBytes -= size
	return nil
}

func (s *recvStream) push(value any, size int) { s.items <- item{value, size} }

// finish ends the stream, and reports whether it had not ended before.
func (s *recvStream) finish(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end {
		return false
	}
	s.end, s.err = true, err
	close(s.items)
	return true
}

// recv returns the next item, or io.EOF after the last.
func (s *recvStream) recv(ctx context.Context) (any, error) {
	select {
	case next, ok := <-s.items:
		if !ok && s.err != nil {
			return nil, s.err
		}
		if !ok {
			return nil, io.EOF
		}
		s.taken(next.size)
		return next.value, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// taken grants more credit when half of the initial one was used.
func (s *recvStream) taken(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takenItems++
	s.takenBytes += size
	if s.end || s.takenItems < firstItems/2 && s.takenBytes < firstBytes/2 {
		return
	}
	s.creditItems += s.takenItems
	s.creditBytes += s.takenBytes
	s.grant(uint64(s.takenItems), uint64(s.takenBytes))
	s.takenItems, s.takenBytes = 0, 0
}

// A sendStream is the sending half of a stream: the credit that is left, and waiting for more.
type sendStream struct {
	more chan struct{} // of capacity 1

	mu    sync.Mutex
	items int64
	bytes int64
	err   error // why no more credit will arrive
}

func newSendStream() *sendStream {
	return &sendStream{more: make(chan struct{}, 1), items: firstItems, bytes: firstBytes}
}

func (s *sendStream) credit(items, bytes uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items += int64(items)
	s.bytes += int64(bytes)
	if s.items > largest || s.bytes > largest {
		return malformed("The credit of a stream is above 2^53-1")
	}
	s.notify()
	return nil
}

// end fails the next item for which there is no credit.
func (s *sendStream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.notify()
}

func (s *sendStream) notify() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// spend waits for credit, and takes an item of so many bytes from it.
func (s *sendStream) spend(ctx context.Context, size int) error {
	for {
		s.mu.Lock()
		err := s.err
		hasCredit := s.items > 0 && s.bytes > 0
		if hasCredit {
			s.items--
			s.bytes -= int64(size)
			err = nil
		}
		s.mu.Unlock()
		if hasCredit || err != nil {
			return err
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
