package troodon

import (
	"bufio"
	"context"
	"net"
	"time"
)

// A Dialer connects to servers. Its zero value has the defaults of the protocol.
type Dialer struct {
	CodecType      string        // of bodies; empty is application/cbor
	Token          string        // for the server's authentication
	MaxFrameBytes  uint64        // the largest frame to accept; 0 is 4 MiB
	HandleTimeout  time.Duration // how long the server may work on a call; 0 is the server's limit
	ConnectTimeout time.Duration // for connecting and handshake together; 0 is 10 s
	Methods        Methods       // which the server may call
}

// Dial connects to the server at address, of the form host:port.
func Dial(ctx context.Context, address string) (*Conn, error) { return new(Dialer).Dial(ctx, address) }

// Dial connects to the server at address, of the form host:port.
func (d *Dialer) Dial(ctx context.Context, address string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.connectTimeout())
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, notStarted(Unavailable, "Cannot connect: %v", err)
	}
	return d.Client(ctx, conn)
}

func (d *Dialer) connectTimeout() time.Duration {
	if d.ConnectTimeout == 0 {
		return 10 * time.Second
	}
	return d.ConnectTimeout
}

// Client does the handshake on a connection, such as one of TLS. It closes the connection if that fails.
func (d *Dialer) Client(ctx context.Context, conn net.Conn) (*Conn, error) {
	codecType, most := d.CodecType, d.MaxFrameBytes
	if codecType == "" {
		codecType = cborType
	}
	if most == 0 {
		most = maxFrame
	}
	option := line{"magicNumber": magicNumber, "version": version, "codecType": codecType, "maxFrameBytes": most,
		"connectTimeout": d.connectTimeout().Milliseconds(), "handleTimeout": d.HandleTimeout.Milliseconds()}
	if d.Token != "" {
		option["token"] = d.Token
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	stop := failOnDone(ctx, conn)
	r := bufio.NewReaderSize(conn, 65_536)
	agreed, err := shakeHands(conn, r, option, codecType)
	stop()
	if err != nil {
		go closeCarefully(conn, r, false)
		if refusal, ok := err.(*Error); ok && refusal.NotStarted {
			return nil, refusal
		}
		return nil, notStarted(Unavailable, "Cannot connect: %v", err)
	}
	conn.SetDeadline(time.Time{})
	c := &Conn{conn: conn, r: r, agreed: agreed, methods: d.Methods, maxInFlight: defaultInFlight, maxFrame: most,
		heartbeat: defaultHeartbeat, parity: 1}
	return c.start(), nil
}

// failOnDone fails reads and writes when a context is done, until stop is called.
func failOnDone(ctx context.Context, conn net.Conn) (stop func()) {
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
			conn.SetDeadline(time.Unix(1, 0))
		case <-stopping:
		}
	}()
	return func() {
		close(stopping)
		<-stopped
	}
}

func shakeHands(conn net.Conn, r *bufio.Reader, option line, codecType string) (agreed agreement, err error) {
	if _, err := conn.Write(encodeLine(option)); err != nil {
		return agreed, err
	}
	answer, err := readLine(r)
	if err != nil {
		return agreed, err
	}
	return checkAnswer(answer, codecType)
}
