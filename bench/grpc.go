// grpc-go for bench:distance, with its defaults: the same two sides as side.ts and crossing.ts. Its messages are
// the wrapper types that come with protobuf, so that no code has to be generated.
//
//	grpc server LOAD
//	grpc client LOAD PORT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/protobuf/ptypes/empty"
	"github.com/golang/protobuf/ptypes/wrappers"
	"google.golang.org/grpc"
)

const (
	smallBytes    = 100
	smallInterval = 20 * time.Millisecond
	alone         = 20
	firstCalls    = 5
)

type Load struct {
	Kind, Host         string
	Outstanding, Bytes int
	Warm, Seconds      float64
}

var ctx = context.Background()

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(what map[string]any) {
	line, err := json.Marshal(what)
	check(err)
	fmt.Println(string(line))
}

// The server.

var received uint64

func unary[Q any](answer func(*Q) any) func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
	return func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		request := new(Q)
		if err := decode(request); err != nil {
			return nil, err
		}
		return answer(request), nil
	}
}

func sendItems(stream interface{ SendMsg(any) error }, size int) error {
	item := &wrappers.BytesValue{Value: make([]byte, size)}
	for {
		if err := stream.SendMsg(item); err != nil {
			return err
		}
	}
}

func down(_ any, stream grpc.ServerStream) error {
	var size wrappers.UInt64Value
	if err := stream.RecvMsg(&size); err != nil {
		return err
	}
	return sendItems(stream, int(size.Value))
}

func up(_ any, stream grpc.ServerStream) error {
	for {
		var item wrappers.BytesValue
		if err := stream.RecvMsg(&item); err != nil {
			return err
		}
		atomic.AddUint64(&received, 1)
	}
}

var downDesc = grpc.StreamDesc{StreamName: "Down", Handler: down, ServerStreams: true}
var upDesc = grpc.StreamDesc{StreamName: "Up", Handler: up, ClientStreams: true}
var service = grpc.ServiceDesc{
	ServiceName: "bench",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Echo", Handler: unary(func(body *wrappers.BytesValue) any { return body })},
		{MethodName: "Received", Handler: unary(func(*empty.Empty) any {
			return &wrappers.UInt64Value{Value: atomic.LoadUint64(&received)}
		})},
	},
	Streams: []grpc.StreamDesc{downDesc, upDesc},
}

func serve(load Load) {
	listener, err := net.Listen("tcp", load.Host+":0")
	check(err)
	server := grpc.NewServer()
	server.RegisterService(&service, struct{}{})
	say(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	check(server.Serve(listener))
}

// The client.

func dial(load Load, port string) *grpc.ClientConn {
	conn, err := grpc.Dial(load.Host+":"+port, grpc.WithInsecure())
	check(err)
	return conn
}

func echo(conn *grpc.ClientConn, size int) time.Duration {
	var reply wrappers.BytesValue
	since := time.Now()
	check(conn.Invoke(ctx, "/bench/Echo", &wrappers.BytesValue{Value: make([]byte, size)}, &reply))
	if len(reply.Value) != size {
		check(fmt.Errorf("wrong response: %d bytes", len(reply.Value)))
	}
	return time.Since(since)
}

func download(conn *grpc.ClientConn, load Load, bytes *int64) {
	stream, err := conn.NewStream(ctx, &downDesc, "/bench/Down")
	check(err)
	check(stream.SendMsg(&wrappers.UInt64Value{Value: uint64(load.Bytes)}))
	check(stream.CloseSend())
	for {
		var item wrappers.BytesValue
		check(stream.RecvMsg(&item))
		atomic.AddInt64(bytes, int64(len(item.Value)))
	}
}

func upload(conn *grpc.ClientConn, load Load) {
	stream, err := conn.NewStream(ctx, &upDesc, "/bench/Up")
	check(err)
	check(sendItems(stream, load.Bytes))
}

func keepEchoing(conn *grpc.ClientConn, load Load, bytes *int64) {
	for {
		echo(conn, load.Bytes)
		atomic.AddInt64(bytes, int64(load.Bytes))
	}
}

// Bytes per second after the warm-up.
func rateOf(load Load, read func() int64) float64 {
	time.Sleep(time.Duration(load.Warm * float64(time.Second)))
	before, since := read(), time.Now()
	time.Sleep(time.Duration(load.Seconds * float64(time.Second)))
	after := read()
	return float64(after-before) / time.Since(since).Seconds()
}

func quantile(times []time.Duration, share float64) float64 {
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	index := int(share*float64(len(times))+0.999999) - 1
	return float64(times[index].Microseconds()) / 1000
}

// Starts a small call at each interval, whether or not the last one has ended.
func smallCalls(conn *grpc.ClientConn, load Load, bytes *int64, transfer func()) map[string]any {
	echo(conn, smallBytes)
	var before, times []time.Duration
	for i := 0; i < alone; i++ {
		before = append(before, echo(conn, smallBytes))
	}
	transfer()
	var lock sync.Mutex
	var pending sync.WaitGroup
	measuring := false
	ticker := time.NewTicker(smallInterval)
	go func() {
		for range ticker.C {
			lock.Lock()
			counted := measuring
			if counted {
				pending.Add(1)
			}
			lock.Unlock()
			go func() {
				time := echo(conn, smallBytes)
				if counted {
					lock.Lock()
					times = append(times, time)
					lock.Unlock()
					pending.Done()
				}
			}()
		}
	}()
	rate := rateOf(load, func() int64 {
		lock.Lock()
		measuring = !measuring
		lock.Unlock()
		return atomic.LoadInt64(bytes)
	})
	ticker.Stop()
	pending.Wait()
	return map[string]any{
		"rate": rate, "p50": quantile(times, 0.5), "p99": quantile(times, 0.99), "alone": quantile(before, 0.5),
	}
}

func cross(load Load, port string) map[string]any {
	if load.Kind == "first" {
		var times []time.Duration
		for i := 0; i <= firstCalls; i++ {
			since := time.Now()
			echo(dial(load, port), smallBytes)
			times = append(times, time.Since(since))
		}
		return map[string]any{"p50": quantile(times[1:], 0.5)}
	}
	conn := dial(load, port)
	var bytes int64
	switch load.Kind {
	case "down":
		go download(conn, load, &bytes)
		return map[string]any{"rate": rateOf(load, func() int64 { return atomic.LoadInt64(&bytes) })}
	case "up":
		go upload(conn, load)
		return map[string]any{"rate": rateOf(load, func() int64 {
			var items wrappers.UInt64Value
			check(conn.Invoke(ctx, "/bench/Received", &empty.Empty{}, &items))
			return int64(items.Value) * int64(load.Bytes)
		})}
	case "bulk":
		return smallCalls(conn, load, &bytes, func() { go download(conn, load, &bytes) })
	default:
		return smallCalls(conn, load, &bytes, func() {
			for i := 0; i < load.Outstanding; i++ {
				go keepEchoing(conn, load, &bytes)
			}
		})
	}
}

func main() {
	var load Load
	check(json.Unmarshal([]byte(os.Args[2]), &load))
	if os.Args[1] == "server" {
		serve(load)
	} else {
		say(cross(load, os.Args[3]))
	}
}
