// Go's net/rpc for the bench: `netrpc server` prints PORT; `netrpc client PORT OUTSTANDING` prints calls a second.
package main

import (
	"fmt"
	"net"
	"net/rpc"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	warm = 500 * time.Millisecond
	run  = 1500 * time.Millisecond
)

type Args struct{ A, B int }
type Reply struct{ Sum int }
type Arith struct{}

func (Arith) Sum(args Args, reply *Reply) error {
	reply.Sum = args.A + args.B
	return nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	if os.Args[1] == "server" {
		check(rpc.Register(Arith{}))
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
		rpc.Accept(listener)
		return
	}
	client, err := rpc.Dial("tcp", "127.0.0.1:"+os.Args[2])
	check(err)
	outstanding, err := strconv.Atoi(os.Args[3])
	check(err)
	begin := time.Now().Add(warm)
	end := begin.Add(run)
	var calls int64
	var all sync.WaitGroup
	for worker := 0; worker < outstanding; worker++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := 0; ; i++ {
				var reply Reply
				check(client.Call("Arith.Sum", Args{i, 2}, &reply))
				if reply.Sum != i+2 {
					panic("wrong sum")
				}
				now := time.Now()
				if now.After(end) {
					return
				}
				if now.After(begin) {
					atomic.AddInt64(&calls, 1)
				}
			}
		}()
	}
	all.Wait()
	fmt.Println(float64(calls) / run.Seconds())
}
