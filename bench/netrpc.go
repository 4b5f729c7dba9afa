// Go's net/rpc for the benchmark, with its default codec, gob: the same two sides as side.ts, which describes
// the protocol.
//
//	netrpc server LOAD
//	netrpc client LOAD PORT
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	warmConnections = 100
	stampLength     = 10
)

type Load struct {
	Kind, Variant                  string
	Connections, Outstanding, Idle int
	Bytes, Items                   int
	Warm, Seconds                  float64
}

type Addends struct{ A, B int }
type Sum struct{ Sum int }
type Arith struct{}

func (Arith) Sum(args Addends, reply *Sum) error {
	reply.Sum = args.A + args.B
	return nil
}

func (Arith) Echo(args []byte, reply *[]byte) error {
	*reply = args
	return nil
}

func (Arith) Text(args string, reply *string) error {
	*reply = args
	return nil
}

type Record struct {
	Id     int
	Name   string
	Email  string
	Active bool
	Score  float64
}

func recordOf(i int) Record {
	return Record{i, fmt.Sprintf("user%d", i), fmt.Sprintf("user%d@example.com", i), i%2 == 0, float64(i) * 1.25}
}

// The list is created once, so that only its transfer is measured.
var list []Record
var listOnce sync.Once

func (Arith) Records(count int, reply *[]Record) error {
	listOnce.Do(func() {
		for i := 0; i < count; i++ {
			list = append(list, recordOf(i))
		}
	})
	*reply = list
	return nil
}

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

func cpu() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func rss() int {
	var total, resident int
	statm, err := os.ReadFile("/proc/self/statm")
	check(err)
	_, err = fmt.Sscan(string(statm), &total, &resident)
	check(err)
	return resident * os.Getpagesize()
}

func serve() {
	check(rpc.Register(Arith{}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go rpc.Accept(listener)
	say(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	for stdin := bufio.NewScanner(os.Stdin); stdin.Scan(); {
		say(map[string]any{"cpu": cpu(), "rss": rss()})
	}
}

func open(port string, count int) []*rpc.Client {
	clients := make([]*rpc.Client, count)
	for i := range clients {
		client, err := rpc.Dial("tcp", "127.0.0.1:"+port)
		check(err)
		clients[i] = client
	}
	return clients
}

func sum(client *rpc.Client, i int) {
	var reply Sum
	check(client.Call("Arith.Sum", Addends{i, 7}, &reply))
	if reply.Sum != i+7 {
		check(fmt.Errorf("wrong response: %d + 7 = %d", i, reply.Sum))
	}
}

// Echoes with the number of the call at both ends.
func echo(client *rpc.Client, i int, body []byte, whole bool) {
	binary.BigEndian.PutUint32(body, uint32(i))
	binary.BigEndian.PutUint32(body[len(body)-4:], uint32(i))
	var reply []byte
	check(client.Call("Arith.Echo", body, &reply))
	ends := len(reply) == len(body) && bytes.Equal(reply[:4], body[:4]) &&
		bytes.Equal(reply[len(reply)-4:], body[len(body)-4:])
	if !ends || whole && !bytes.Equal(reply, body) {
		check(fmt.Errorf("wrong response: an echo differs from the request"))
	}
}

// What texts of `length` bytes have between their stamps.
func middleOf(length int) string {
	const sentence = "The quick brown fox jumps over the lazy dog. "
	return strings.Repeat(sentence, length/len(sentence)+1)[:length-2*stampLength]
}

// Texts with the number of the call at both ends.
func text(client *rpc.Client, i int, middle string) {
	stamp := fmt.Sprintf("%0*d", stampLength, i)
	body := stamp + middle + stamp
	var reply string
	check(client.Call("Arith.Text", body, &reply))
	if reply != body {
		check(fmt.Errorf("wrong response: a text differs from the request"))
	}
}

func records(client *rpc.Client, i, count int) {
	var reply []Record
	check(client.Call("Arith.Records", count, &reply))
	if len(reply) != count || reply[i%count] != recordOf(i%count) {
		check(fmt.Errorf("wrong response: a record differs"))
	}
}

func beIdle(load Load, port string) {
	stdin := bufio.NewScanner(os.Stdin)
	var held []*rpc.Client
	grow := func(count int) {
		for _, client := range open(port, count) {
			sum(client, 1)
			held = append(held, client)
		}
	}
	grow(warmConnections)
	say(map[string]any{"began": true})
	stdin.Scan()
	grow(load.Connections)
	say(map[string]any{"calls": len(held)})
	stdin.Scan()
}

// One slot of the closed loop; with many calls in flight only every eighth is timed, as in load.ts.
func keepCalling(client *rpc.Client, first int, load Load, begin, end time.Time, calls *int64) (times []float64) {
	every := 1
	if load.Connections*load.Outstanding > 8 {
		every = 8
	}
	body := make([]byte, load.Bytes)
	middle := ""
	if load.Kind == "text" {
		middle = middleOf(load.Bytes)
	}
	for i := first; ; i++ {
		since := time.Now()
		switch load.Kind {
		case "echo":
			echo(client, i, body, i == first)
		case "text":
			text(client, i, middle)
		case "records":
			records(client, i, load.Items)
		default:
			sum(client, i)
		}
		now := time.Now()
		if now.After(end) {
			return
		}
		if now.After(begin) {
			atomic.AddInt64(calls, 1)
			if i%every == 0 && since.After(begin) {
				times = append(times, float64(now.Sub(since).Nanoseconds())/1000)
			}
		}
	}
}

func call(load Load, port string) {
	if load.Kind == "stream" || load.Variant != "" {
		say(map[string]any{"unsupported": true})
		return
	}
	clients := open(port, load.Connections)
	warm := time.Duration(load.Warm * float64(time.Second))
	length := time.Duration(load.Seconds * float64(time.Second))
	begin := time.Now().Add(warm)
	end := begin.Add(length)
	var calls int64
	var before float64
	time.AfterFunc(warm, func() {
		before = cpu()
		say(map[string]any{"began": true})
	})
	var all sync.WaitGroup
	var lock sync.Mutex
	var times []float64
	for i := 0; i < len(clients)*load.Outstanding; i++ {
		i := i
		all.Add(1)
		go func() {
			defer all.Done()
			mine := keepCalling(clients[i%len(clients)], i, load, begin, end, &calls)
			lock.Lock()
			times = append(times, mine...)
			lock.Unlock()
		}()
	}
	all.Wait()
	used := cpu() - before
	sort.Float64s(times)
	at := func(share float64) any {
		if len(times) == 0 {
			return nil
		}
		return times[int(share*float64(len(times)-1))]
	}
	say(map[string]any{
		"calls": calls, "seconds": length.Seconds(), "cpu": used, "p50": at(0.5), "p99": at(0.99),
	})
}

func main() {
	var load Load
	check(json.Unmarshal([]byte(os.Args[2]), &load))
	if os.Args[1] == "server" {
		serve()
	} else if load.Kind == "idle" {
		beIdle(load, os.Args[3])
	} else {
		call(load, os.Args[3])
	}
}
