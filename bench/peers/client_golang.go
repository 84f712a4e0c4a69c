// SPDX-License-Identifier: Apache-2.0
//
// client_golang: the questions that libshm is asked. Built with Debian's packages (GO111MODULE=off).
package main

import (
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

var values [65536]float64
var bounds10 = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
var bounds20 = []float64{.001, .0025, .005, .0075, .01, .025, .05, .075, .1, .15, .25, .35, .5, .75, 1, 1.5, 2.5, 3.5, 5, 6.5}

type question struct {
	name string
	run  func(n int)
	ns   []float64
	n    int
	done int64
}

func chunk(q *question) float64 {
	start := time.Now()
	q.run(q.n)
	took := float64(time.Since(start).Nanoseconds()) / float64(q.n)
	atomic.AddInt64(&q.done, int64(q.n))
	return took
}

func report(name string, value float64, unit string) {
	fmt.Printf("%s\t%.6g\t%s\n", name, value, unit)
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}

// As bench_measure: chunks of 0.1 ms in turn.
func measure(questions []*question) {
	for _, q := range questions {
		q.n, q.ns = 64, nil
		for chunk(q)*float64(q.n) < 25e3 {
			q.n *= 4
		}
		q.n = int(1e5/chunk(q)) + 1
	}
	for c := 0; c < 21; c++ {
		for _, q := range questions {
			q.ns = append(q.ns, chunk(q))
		}
	}
	for _, q := range questions {
		report("client_golang_"+q.name+"_ns", median(q.ns), "ns")
	}
}

// What was counted is what was done.
func check(what string, metric prometheus.Metric, done int64) {
	var found dto.Metric
	if err := metric.Write(&found); err != nil {
		panic(err)
	}
	counted := found.GetCounter().GetValue()
	if found.Histogram != nil {
		counted = float64(found.GetHistogram().GetSampleCount())
	}
	if counted != float64(done) {
		panic(fmt.Sprintf("%s: %g counted, %d done", what, counted, done))
	}
}

func lookup(n int, columns int) func(int) {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "looked_up_total", Help: "Bench."}, []string{"profile", "phase"})
	labels := make([][2]string, n)
	for i := range labels {
		labels[i] = [2]string{"profile-" + strconv.Itoa(i/columns), "phase-" + strconv.Itoa(i%columns)}
		vec.WithLabelValues(labels[i][0], labels[i][1])
	}
	pick := make([]int, 65536)
	for i := range pick {
		pick[i] = rand.Intn(n)
	}
	next := 0
	return func(n int) {
		for i := 0; i < n; i++ {
			l := &labels[pick[next&65535]]
			next++
			vec.WithLabelValues(l[0], l[1]).Inc()
		}
	}
}

func scrape(n int) {
	registry := prometheus.NewRegistry()
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bench_requests_total", Help: "Bench."}, []string{"path", "code"})
	registry.MustRegister(vec)
	counters := make([]prometheus.Counter, n)
	for i := range counters {
		counters[i] = vec.WithLabelValues("/api/v1/item/"+strconv.Itoa(i/5), strconv.Itoa(200+i%5))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true}))
	var ms []float64
	buffer := make([]byte, 1<<20)
	for s := -1; s < 5; s++ {
		for _, c := range counters {
			c.Add(float64(s + 3))
		}
		start := time.Now()
		connection, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(connection, "GET / HTTP/1.0\r\n\r\n")
		total := 0
		for {
			got, err := connection.Read(buffer)
			total += got
			if err != nil {
				break
			}
		}
		connection.Close()
		if total < n*20 {
			panic("a short answer")
		}
		if s >= 0 {
			ms = append(ms, float64(time.Since(start).Nanoseconds())/1e6)
		}
	}
	report(fmt.Sprintf("client_golang_scrape_%dk_identity_ms", n/1000), median(ms), "ms")
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "--scrape" {
		n, _ := strconv.Atoi(os.Args[2])
		scrape(n)
		return
	}
	for i := range values {
		values[i] = rand.Float64() * rand.Float64() * 8
	}
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "c_total", Help: "Bench."})
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "Bench."})
	h10 := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h10", Help: "Bench.", Buckets: bounds10})
	h20 := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h20", Help: "Bench.", Buckets: bounds20})
	observe := func(h prometheus.Histogram) func(int) {
		return func(n int) {
			for i := 0; i < n; i++ {
				h.Observe(values[i&65535])
			}
		}
	}
	questions := []*question{
		{name: "counter", run: func(n int) {
			for i := 0; i < n; i++ {
				counter.Inc()
			}
		}},
		{name: "gauge_set", run: func(n int) {
			for i := 0; i < n; i++ {
				gauge.Set(float64(i))
			}
		}},
		{name: "histogram_10_random", run: observe(h10)},
		{name: "histogram_20_random", run: observe(h20)},
		{name: "lookup_2_labels_32", run: lookup(32, 8)},
		{name: "lookup_2_labels_10000", run: lookup(10000, 128)},
	}
	measure(questions)
	defer func() {
		check("counter", counter, questions[0].done)
		check("histogram", h10, questions[2].done)
		check("histogram", h20, questions[3].done)
	}()
	if runtime.NumCPU() < 2 || strings.Contains(os.Getenv("GOMAXPROCS"), "1") {
		return
	}
	pair(questions[0])
	pair(questions[2])
}

// This thread stays on one CPU.
func pin(cpu uint) {
	mask := uint64(1) << cpu
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, 8, uintptr(unsafe.Pointer(&mask)))
}

// While another thread does the same all the time. A chunk in which the other one hardly ran is not counted.
func pair(q *question) {
	var stop int32
	var others int64
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		defer wait.Done()
		pin(1)
		for atomic.LoadInt32(&stop) == 0 {
			q.run(256)
			atomic.AddInt64(&others, 256)
		}
	}()
	pin(0)
	var ns []float64
	for try := 0; try < 600 && len(ns) < 25; try++ {
		before := atomic.LoadInt64(&others)
		took := chunk(q)
		if atomic.LoadInt64(&others)-before > int64(q.n/4) {
			ns = append(ns, took)
		}
	}
	if len(ns) > 12 {
		report("client_golang_"+q.name+"_2thread_ns", median(ns), "ns")
	}
	atomic.StoreInt32(&stop, 1)
	wait.Wait()
	atomic.AddInt64(&q.done, others)
}
