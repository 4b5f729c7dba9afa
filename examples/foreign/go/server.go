package troodon

import (
	"bufio"
	"context"
	"errors"
	"log"
	"net"
	"os"
	"sync"
	"time"
)

const handshakeTimeout = 5 * time.Second

// A Server answers the calls of clients. Its fields must not change while it serves.
type Server struct {
	Methods     Methods
	MaxInFlight int           // calls of one connection; 0 is 1024
	Heartbeat   time.Duration // after how much silence a client is pinged; 0 is 30 s
	ErrorLog    *log.Logger   // for errors of handlers; nil is the log package's

	mu        sync.Mutex
	listeners map[net.Listener]bool
	conns     map[*Conn]bool
	draining  bool
}

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("troodon: server closed")

// Serve accepts connections until Shutdown is called or the listener fails.
func (s *Server) Serve(listener net.Listener) error {
	s.mu.Lock()
	if s.listeners == nil {
		s.listeners, s.conns = map[net.Listener]bool{}, map[*Conn]bool{}
	}
	s.listeners[listener] = true
	s.mu.Unlock()
	for {
		conn, err := listener.Accept()
		s.mu.Lock()
		draining := s.draining
		s.mu.Unlock()
		if draining {
			return ErrServerClosed
		}
		if err != nil {
			return err
		}
		go s.accept(conn)
	}
}

// Shutdown closes the listeners, and drains all connections: calls in flight are answered.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for listener := range s.listeners {
		listener.Close()
	}
	conns := make([]*Conn, 0, len(s.conns))
	for conn := range s.conns {
		conns = append(conns, conn)
	}
	s.mu.Unlock()
	errs := make(chan error, len(conns))
	for _, conn := range conns {
		go func(conn *Conn) { errs <- conn.Shutdown(ctx) }(conn)
	}
	var err error
	for range conns {
		if each := <-errs; each != nil {
			err = each
		}
	}
	return err
}

// accept does the handshake, and serves the connection.
func (s *Server) accept(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 65_536)
	conn.SetDeadline(time.Now().Add(handshakeTimeout))
	fields, err := readLine(r)
	var agreed agreement
	if err == nil {
		agreed, err = checkOption(fields)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = Errorf(DeadlineExceeded, "The handshake was not done within %v", handshakeTimeout)
	}
	if err != nil {
		s.refuse(conn, r, err)
		return
	}
	maxInFlight, heartbeat := s.MaxInFlight, s.Heartbeat
	if maxInFlight == 0 {
		maxInFlight = defaultInFlight
	}
	if heartbeat == 0 {
		heartbeat = defaultHeartbeat
	}
	conn.Write(encodeLine(line{"magicNumber": magicNumber, "version": version, "codecType": agreed.codecType,
		"handleTimeout": agreed.handleTimeout, "maxFrameBytes": maxFrame, "maxInFlight": maxInFlight,
		"heartbeatInterval": heartbeat.Milliseconds()}))
	conn.SetDeadline(time.Time{})
	c := &Conn{conn: conn, r: r, agreed: agreed, methods: s.Methods, maxInFlight: maxInFlight, maxFrame: maxFrame,
		heartbeat: heartbeat, logger: s.ErrorLog, parity: 0}
	s.mu.Lock()
	s.conns[c.start()] = true
	draining := s.draining
	s.mu.Unlock()
	if draining {
		c.Shutdown(context.Background())
	}
	<-c.closed
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// refuse answers with an error, unless the connection was lost.
func (s *Server) refuse(conn net.Conn, r *bufio.Reader, err error) {
	refusal, ok := err.(*Error)
	if !ok {
		conn.Close()
		return
	}
	conn.SetDeadline(time.Now().Add(writeTimeout))
	conn.Write(encodeLine(line{"error": map[string]any{"code": refusal.Code, "message": refusal.Message}}))
	closeCarefully(conn, r, false)
}
