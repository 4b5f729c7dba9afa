// Command server offers the service Conformance of docs/CONFORMANCE.md on a port of 127.0.0.1, by default a free one.
//
//	go run ./cmd/server [PORT]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"example.com/troodon"
)

func main() {
	log.SetFlags(0)
	port := "0"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("tcp@%v\n", listener.Addr())
	drained := make(chan struct{})
	server := &troodon.Server{Heartbeat: 500 * time.Millisecond, ErrorLog: log.New(io.Discard, "", 0)}
	server.Methods = conformance(func() {
		server.Shutdown(context.Background())
		close(drained)
	})
	if err := server.Serve(listener); err != troodon.ErrServerClosed {
		log.Fatal(err)
	}
	<-drained
}

// stops notes which calls were stopped, by their key.
type stops struct {
	mu    sync.Mutex
	chans map[string]chan struct{}
}

func (s *stops) of(key string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chans[key] == nil {
		s.chans[key] = make(chan struct{})
	}
	return s.chans[key]
}

func (s *stops) stop(key string) {
	stopped := s.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-stopped:
	default:
		close(stopped)
	}
}

type failure struct {
	Code, Message string
	Details       any
}

type countArgs struct {
	To  int
	Key string
}

type textsArgs struct{ Of, Items int }

type callBackArgs struct {
	Method string
	Args   any
}

func conformance(drain func()) troodon.Methods {
	stops := &stops{chans: map[string]chan struct{}{}}
	return troodon.Methods{
		"Conformance.features": troodon.Func(func(context.Context, any) ([]string, error) {
			return []string{"streams", "callbacks", "json", "values", "limits", "drain"}, nil
		}),
		"Conformance.echo": troodon.Func(func(_ context.Context, value any) (any, error) {
			return value, nil
		}),
		"Conformance.length": troodon.Func(func(_ context.Context, value any) (int, error) {
			switch v := value.(type) {
			case []any:
				return len(v), nil
			case string:
				return utf8.RuneCountInString(v), nil
			}
			return 1, nil
		}),
		"Conformance.fail": troodon.Func(func(_ context.Context, f failure) (any, error) {
			return nil, &troodon.Error{Code: f.Code, Message: f.Message, Details: f.Details}
		}),
		"Conformance.crash": troodon.Func(func(_ context.Context, text string) (any, error) {
			return nil, errors.New(text)
		}),
		"Conformance.text": troodon.Func(func(_ context.Context, n int) (string, error) {
			return strings.Repeat("x", n), nil
		}),
		"Conformance.sleep": troodon.Func(func(ctx context.Context, ms int) (any, error) {
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}),
		"Conformance.hang": troodon.Func(func(ctx context.Context, key string) (any, error) {
			<-ctx.Done()
			stops.stop(key)
			return nil, ctx.Err()
		}),
		"Conformance.stopped": troodon.Func(func(ctx context.Context, key string) (any, error) {
			select {
			case <-stops.of(key):
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}),
		"Conformance.drain": troodon.Func(func(context.Context, any) (any, error) {
			go drain()
			return nil, nil
		}),
		"Conformance.callBack": {Serve: func(ctx context.Context, call *troodon.Call) (any, error) {
			var args callBackArgs
			if err := call.Args(&args); err != nil {
				return nil, err
			}
			var result any
			err := call.Conn.Call(ctx, args.Method, args.Args, &result)
			return result, err
		}},
		"Conformance.count": {SendsStream: true, Serve: func(_ context.Context, call *troodon.Call) (any, error) {
			var args countArgs
			if err := call.Args(&args); err != nil {
				return nil, err
			}
			for n := 1; n <= args.To; n++ {
				if err := call.Send(n); err != nil {
					stops.stop(args.Key)
					return nil, err
				}
			}
			return nil, nil
		}},
		"Conformance.texts": {SendsStream: true, Serve: func(_ context.Context, call *troodon.Call) (any, error) {
			var args textsArgs
			if err := call.Args(&args); err != nil {
				return nil, err
			}
			for i := 0; i < args.Items; i++ {
				if err := call.Send(strings.Repeat("x", args.Of)); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}},
		"Conformance.sum": {TakesStream: true, Serve: func(_ context.Context, call *troodon.Call) (any, error) {
			var sum float64
			for {
				var n float64
				if err := call.Recv(&n); err == io.EOF {
					return sum, nil
				} else if err != nil {
					return nil, err
				}
				sum += n
			}
		}},
		"Conformance.chat": {TakesStream: true, SendsStream: true, Serve: chat},
		"Conformance.stall": {TakesStream: true, Serve: func(ctx context.Context, _ *troodon.Call) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	}
}

// chat sends each item as it arrives.
func chat(_ context.Context, call *troodon.Call) (any, error) {
	for {
		var item any
		if err := call.Recv(&item); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		if err := call.Send(item); err != nil {
			return nil, err
		}
	}
}
