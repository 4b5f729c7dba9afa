package troodon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"reflect"
	"testing"
	"time"

	"example.com/troodon"
)

type point struct {
	X     int       `json:"x"`
	Label string    `json:"label,omitempty"`
	Data  []byte    `json:"data"`
	At    time.Time `json:"at"`
}

// serve starts a server on a free port, and returns its address.
func serve(methods troodon.Methods) (address string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &troodon.Server{Methods: methods}
	go server.Serve(listener)
	return listener.Addr().String(), func() { server.Shutdown(context.Background()) }
}

func Example() {
	type pair struct{ A, B int }
	address, stop := serve(troodon.Methods{
		"Arith.divide": troodon.Func(func(_ context.Context, p pair) (int, error) {
			if p.B == 0 {
				return 0, troodon.Errorf(troodon.InvalidArgument, "Cannot divide by zero")
			}
			return p.A / p.B, nil
		}),
		"Math.upTo": {SendsStream: true, Serve: func(_ context.Context, call *troodon.Call) (any, error) {
			var most int
			if err := call.Args(&most); err != nil {
				return nil, err
			}
			for n := 1; n <= most; n++ {
				if err := call.Send(n); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}},
	})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := troodon.Dial(ctx, address)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	var quotient int
	fmt.Println(conn.Call(ctx, "Arith.divide", pair{6, 2}, &quotient), quotient)
	fmt.Println(conn.Call(ctx, "Arith.divide", pair{6, 0}, &quotient))

	stream, err := conn.Stream(ctx, "Math.upTo", 3)
	for err == nil {
		var n int
		if err = stream.Recv(&n); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Println(err)
	// Output:
	// <nil> 3
	// invalid_argument: Cannot divide by zero
	// 1
	// 2
	// 3
	// EOF
}

func TestValuesKeepTheirTypes(t *testing.T) {
	address, stop := serve(troodon.Methods{
		"Test.echo": troodon.Func(func(_ context.Context, value any) (any, error) { return value, nil }),
		"Test.move": troodon.Func(func(_ context.Context, p point) (point, error) { p.X++; return p, nil }),
	})
	defer stop()
	ctx := context.Background()
	conn, err := troodon.Dial(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	at := time.UnixMilli(1_700_000_000_123).UTC()
	values := []any{nil, true, int64(-1), int64(1) << 62, uint64(1) << 63, 0.5, "ü", []byte{1}, at, troodon.Undefined,
		new(big.Int).Lsh(big.NewInt(1), 70), []any{int64(1)}, map[string]any{"a": "b"},
		troodon.Tag{Number: 258, Value: []any{int64(1)}}, troodon.Pairs{{int64(1), "a"}}}
	for _, value := range values {
		var echoed any
		if err := conn.Call(ctx, "Test.echo", value, &echoed); err != nil || !reflect.DeepEqual(echoed, value) {
			t.Errorf("sent %#v, received %#v, %v", value, echoed, err)
		}
	}
	var nan float64
	if err := conn.Call(ctx, "Test.echo", math.NaN(), &nan); err != nil || !math.IsNaN(nan) {
		t.Errorf("received %v, %v", nan, err)
	}
	var set []int
	if err := conn.Call(ctx, "Test.echo", troodon.Tag{Number: 258, Value: []int{1, 2}}, &set); err != nil || len(set) != 2 {
		t.Errorf("received %v, %v", set, err)
	}
	fallback := "fallback"
	if err := conn.Call(ctx, "Test.echo", troodon.Undefined, &fallback); err != nil || fallback != "fallback" {
		t.Errorf("received %v, %v", fallback, err)
	}
	var number int
	if err := conn.Call(ctx, "Test.echo", "text", &number); err == nil {
		t.Errorf("a text was stored as the number %d", number)
	}
	sent, want := point{X: 1, Data: []byte{0, 255}, At: at}, point{X: 2, Data: []byte{0, 255}, At: at}
	var moved point
	if err := conn.Call(ctx, "Test.move", sent, &moved); err != nil || !reflect.DeepEqual(moved, want) {
		t.Errorf("received %+v, %v", moved, err)
	}
}

func TestBothSidesCallAndStream(t *testing.T) {
	address, stop := serve(troodon.Methods{
		"Test.sum": {TakesStream: true, Serve: func(ctx context.Context, call *troodon.Call) (any, error) {
			sum := 0
			for n := 0; ; sum += n {
				if err := call.Recv(&n); err == io.EOF {
					return sum, call.Conn.Call(ctx, "Client.note", sum, nil)
				} else if err != nil {
					return nil, err
				}
			}
		}},
	})
	defer stop()
	notes := make(chan int, 1)
	dialer := troodon.Dialer{Methods: troodon.Methods{
		"Client.note": troodon.Func(func(_ context.Context, n int) (any, error) { notes <- n; return nil, nil }),
	}}
	ctx := context.Background()
	conn, err := dialer.Dial(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	numbers := troodon.Items(func(_ context.Context, send func(any) error) error {
		for n := 1; n <= 1_000; n++ {
			if err := send(n); err != nil {
				return err
			}
		}
		return nil
	})
	var sum int
	if err := conn.Call(ctx, "Test.sum", numbers, &sum); err != nil || sum != 500_500 || <-notes != 500_500 {
		t.Errorf("sum %d, %v", sum, err)
	}
}

func TestAContextEndsItsCall(t *testing.T) {
	stopped := make(chan error, 1)
	address, stop := serve(troodon.Methods{
		"Test.hang": troodon.Func(func(ctx context.Context, _ any) (any, error) {
			<-ctx.Done()
			stopped <- ctx.Err()
			return nil, ctx.Err()
		}),
	})
	defer stop()
	conn, err := troodon.Dial(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = conn.Call(ctx, "Test.hang", nil, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the call ended with %v", err)
	}
	if err := <-stopped; err == nil {
		t.Error("the handler was not stopped")
	}
}
