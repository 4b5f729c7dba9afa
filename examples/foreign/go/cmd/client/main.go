// Command client makes one call, or executes the orders of the conformance runner.
//
//	go run ./cmd/client HOST:PORT METHOD [JSON]
//	go run ./cmd/client < ORDERS
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.com/troodon"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		new(runner).run(os.Stdin, os.Stdout)
		return
	}
	args := "null"
	if len(os.Args) > 3 {
		args = os.Args[3]
	}
	if err := call(strings.TrimPrefix(os.Args[1], "tcp@"), os.Args[2], args); err != nil {
		log.Fatal(err)
	}
}

// call makes one call with a timeout of 30 s, and prints its result.
func call(address, method, argsJSON string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var args, result any
	if err := json.Unmarshal([]byte(argsJSON), &args); err != nil {
		return fmt.Errorf("cannot read the arguments: %w", err)
	}
	conn, err := troodon.Dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Call(ctx, method, args, &result); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// An order is one line of the control protocol: docs/CONFORMANCE.md, "Testing a client".
type order struct {
	ID             any
	Do             string
	Host           string
	Port           int
	CodecType      string
	MaxFrameBytes  uint64
	HandleTimeout  int64
	ConnectTimeout int64
	Token          string
	Method         string
	Args           any
	Items          []any
	Timeout        *int64
	Metadata       troodon.Metadata
	Take           int
	Hold           bool
	Call           any
}

// A runner executes orders, on one connection at a time.
type runner struct {
	mu      sync.Mutex
	out     *json.Encoder
	conn    *troodon.Conn
	cancels map[any]context.CancelFunc
}

func (r *runner) run(in io.Reader, out io.Writer) {
	r.out, r.cancels = json.NewEncoder(out), map[any]context.CancelFunc{}
	r.report(map[string]any{"features": []string{"streams", "callbacks", "json", "concurrent", "idle", "queue"}})
	lines := bufio.NewReader(in)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var o order
		if err := json.Unmarshal(text, &o); err != nil {
			log.Fatalf("cannot read the order %q: %v", text, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		if o.Timeout == nil {
			ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
		} else if *o.Timeout > 0 {
			ctx, cancel = context.WithTimeout(context.Background(), time.Duration(*o.Timeout)*time.Millisecond)
		}
		r.mu.Lock()
		r.cancels[o.ID] = cancel
		r.mu.Unlock()
		go func() {
			defer cancel()
			r.report(r.execute(ctx, o))
		}()
	}
}

func (r *runner) report(message map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Encode(message)
}

// execute executes an order, and returns its outcome.
func (r *runner) execute(ctx context.Context, o order) map[string]any {
	outcome := map[string]any{"id": o.ID}
	var err error
	switch o.Do {
	case "connect":
		outcome["result"] = nil
		err = r.connect(ctx, o)
	case "close":
		outcome["result"] = nil
		if conn := r.current(); conn != nil {
			conn.Close()
		}
	case "cancel":
		outcome["result"] = nil
		r.mu.Lock()
		r.cancels[o.Call]()
		r.mu.Unlock()
	case "call":
		var result any
		err = r.current().Call(troodon.WithMetadata(ctx, o.Metadata), o.Method, o.args(), &result)
		outcome["result"] = result
	case "stream":
		outcome["items"], err = r.stream(ctx, o)
	}
	if err != nil {
		outcome["error"] = fieldsOf(err)
	}
	return outcome
}

func (r *runner) current() *troodon.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn
}

func (r *runner) connect(ctx context.Context, o order) error {
	if conn := r.current(); conn != nil {
		conn.Close()
	}
	dialer := troodon.Dialer{
		CodecType:      o.CodecType,
		Token:          o.Token,
		MaxFrameBytes:  o.MaxFrameBytes,
		HandleTimeout:  time.Duration(o.HandleTimeout) * time.Millisecond,
		ConnectTimeout: time.Duration(o.ConnectTimeout) * time.Millisecond,
		Methods: troodon.Methods{
			"Client.echo": troodon.Func(func(_ context.Context, value any) (any, error) { return value, nil }),
		},
	}
	conn, err := dialer.Dial(ctx, net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = conn
	return err
}

func (o order) args() any {
	if o.Items == nil {
		return o.Args
	}
	return troodon.Items(func(_ context.Context, send func(any) error) error {
		for _, item := range o.Items {
			if err := send(item); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *runner) stream(ctx context.Context, o order) ([]any, error) {
	items := []any{}
	stream, err := r.current().Stream(troodon.WithMetadata(ctx, o.Metadata), o.Method, o.args())
	if err != nil {
		return items, err
	}
	defer stream.Close()
	for o.Take == 0 || len(items) < o.Take {
		var item any
		if err := stream.Recv(&item); err == io.EOF {
			break
		} else if err != nil {
			return items, err
		}
		items = append(items, item)
		if o.Hold {
			<-ctx.Done()
		}
	}
	return items, nil
}

// fieldsOf returns an error in the form of the control protocol.
func fieldsOf(err error) map[string]any {
	var known *troodon.Error
	if !errors.As(err, &known) {
		return map[string]any{"code": troodon.Unknown, "message": err.Error(), "notStarted": false}
	}
	fields := map[string]any{"code": known.Code, "message": known.Message, "notStarted": known.NotStarted}
	if known.Details != nil {
		fields["details"] = known.Details
	}
	return fields
}
