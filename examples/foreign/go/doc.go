// Package troodon is a client and a server of Troodon's wire protocol, in Go's standard library alone.
//
// A server has methods, a client makes calls, and once connected each side may call the other:
//
//	methods := troodon.Methods{"Arith.sum": troodon.Func(func(ctx context.Context, args struct{ A, B int }) (int, error) {
//		return args.A + args.B, nil
//	})}
//	go (&troodon.Server{Methods: methods}).Serve(listener)
//
//	conn, err := troodon.Dial(ctx, "127.0.0.1:9000")
//	var sum int
//	err = conn.Call(ctx, "Arith.sum", map[string]int{"a": 1, "b": 2}, &sum)
//
// The chapters of docs/PROTOCOL.md are in cbor_encode.go, cbor_decode.go and codec.go (Values), handshake.go (Handshake), frames.go (Frames),
// caller.go and callee.go (Calls), streams.go (Streams), conn.go and writer.go (Connection lifecycle).
package troodon
