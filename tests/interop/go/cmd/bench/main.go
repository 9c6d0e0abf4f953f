// bench drives two threads daemons with one client, by turns, and prints how fast each of them answered.
//
// Each case runs in rounds: ours, theirs, ours, theirs; in every second round theirs comes first. The result is one JSON
// object with the rate (or the time) of every round, the medians and their ratio. Progress goes to stderr.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	"google.golang.org/grpc"
)

// target is one daemon.
type target struct {
	name    string
	address string
	db      *client.Client
}

// work is what one round of a case does with one daemon: it returns the round's figure.
type work func(ctx context.Context) (float64, error)

// benchmark is a case: it prepares a daemon (a database, what is in it) and returns the work of a round.
type benchmark struct {
	name    string
	unit    string
	lower   bool // whether a lower figure is better
	prepare func(ctx context.Context, t target, s settings) (work, error)
}

type settings struct {
	scale float64       // of the number of calls in a round
	limit time.Duration // of a round
	docs  []int         // sizes of the collections that queries are asked of
	fill  bool          // whether to do nothing but fill a collection of the first size
}

// calls scales a number of calls, and leaves at least ten.
func (s settings) calls(number int) int {
	if scaled := int(float64(number) * s.scale); scaled > 10 {
		return scaled
	}
	return 10
}

// result is what a case came to.
type result struct {
	Name      string     `json:"name"`
	Unit      string     `json:"unit"`
	Lower     bool       `json:"lower_is_better"`
	Ours      []float64  `json:"ours"`
	Reference []float64  `json:"reference"`
	Medians   [2]float64 `json:"medians"`
	Ratio     float64    `json:"ratio"`
	Error     string     `json:"error,omitempty"` // why the case came to nothing
}

func main() {
	var s settings
	ours := flag.String("ours", "", "HOST:PORT of our daemon's threads door")
	reference := flag.String("reference", "", "HOST:PORT of the reference daemon")
	rounds := flag.Int("rounds", 5, "rounds of each case")
	cases := flag.String("cases", "", "names of cases, joined by commas (default: all); -list prints them")
	docs := flag.String("docs", "10000", "sizes of the collections that queries are asked of, joined by commas")
	list := flag.Bool("list", false, "print the names of the cases and end")
	flag.BoolVar(&s.fill, "fill", false, "fill a collection and measure nothing")
	flag.Float64Var(&s.scale, "scale", 1, "factor for the number of calls in a round")
	flag.DurationVar(&s.limit, "limit", 4*time.Second, "the longest that one round may take")
	flag.Parse()
	for _, text := range strings.Split(*docs, ",") {
		var number int
		if _, err := fmt.Sscan(text, &number); err != nil || number < 100 {
			fail(fmt.Errorf("-docs: %q is not a number of at least 100", text))
		}
		s.docs = append(s.docs, number)
	}
	chosen, err := choose(benchmarks(s), *cases)
	if err != nil {
		fail(err)
	}
	if *list {
		for _, b := range chosen {
			fmt.Println(b.name)
		}
		return
	}
	targets := []target{dial("ours", *ours), dial("reference", *reference)}
	results := []result{}
	for _, b := range chosen {
		one, err := run(b, targets, *rounds, s)
		if err != nil {
			results = append(results, result{Name: b.name, Unit: b.unit, Error: err.Error()})
			fmt.Fprintf(os.Stderr, "%-24s %v\n", b.name, err)
			continue
		}
		results = append(results, one)
		fmt.Fprintf(os.Stderr, "%-24s ours %10.2f  reference %10.2f  %-9s ratio %.2f\n",
			one.Name, one.Medians[0], one.Medians[1], one.Unit, one.Ratio)
	}
	text, _ := json.MarshalIndent(map[string]interface{}{"rounds": *rounds, "cases": results}, "", " ")
	fmt.Println(string(text))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func choose(all []benchmark, names string) ([]benchmark, error) {
	if names == "" {
		return all, nil
	}
	chosen := []benchmark{}
	for _, name := range strings.Split(names, ",") {
		found := false
		for _, b := range all {
			if b.name == name {
				chosen, found = append(chosen, b), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no case %q", name)
		}
	}
	return chosen, nil
}

func dial(name, address string) target {
	db, err := client.NewClient(address, grpc.WithInsecure(), grpc.WithPerRPCCredentials(thread.Credentials{}))
	if err != nil {
		fail(err)
	}
	return target{name, address, db}
}

// run prepares both daemons and measures them by turns.
func run(b benchmark, targets []target, rounds int, s settings) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	one := result{Name: b.name, Unit: b.unit, Lower: b.lower}
	works := make([]work, len(targets))
	for i, t := range targets {
		w, err := b.prepare(ctx, t, s)
		if err != nil {
			return one, fmt.Errorf("%s: prepare: %w", t.name, err)
		}
		works[i] = w
	}
	figures := make([][]float64, len(targets))
	// The first round warms both up and does not count.
	for round := 0; round <= rounds; round++ {
		for turn := range works {
			which := (turn + round) % len(works)
			figure, err := works[which](ctx)
			if err != nil {
				return one, fmt.Errorf("%s: %w", targets[which].name, err)
			}
			if round > 0 {
				figures[which] = append(figures[which], figure)
			}
		}
	}
	one.Ours, one.Reference = figures[0], figures[1]
	one.Medians = [2]float64{median(one.Ours), median(one.Reference)}
	one.Ratio = one.Medians[0] / one.Medians[1]
	return one, nil
}

func median(figures []float64) float64 {
	ordered := append([]float64{}, figures...)
	sort.Float64s(ordered)
	middle := len(ordered) / 2
	if len(ordered)%2 == 0 {
		return (ordered[middle-1] + ordered[middle]) / 2
	}
	return ordered[middle]
}
