// Package checks runs named checks and prints what each of them found, one JSON object a line.
package checks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Checks counts what failed. Names are unique: pytest reports by them.
type Checks struct {
	// Reference leaves out the checks in which our daemon departs from the reference on purpose.
	Reference bool
	// Only runs just the checks whose name contains this text.
	Only string

	names  map[string]bool
	failed int
}

type line struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Check runs one check and prints its line; a panic is a failure of that check alone.
func (c *Checks) Check(name string, check func() error) {
	if strings.Contains(name, c.Only) {
		c.run(name, check)
	}
}

func (c *Checks) run(name string, check func() error) {
	if c.names == nil {
		c.names = map[string]bool{}
	}
	if c.names[name] {
		panic("two checks are called " + name)
	}
	c.names[name] = true
	report := line{Name: name, OK: true}
	if err := guarded(check); err != nil {
		report.OK, report.Detail = false, err.Error()
		c.failed++
	}
	text, _ := json.Marshal(report)
	fmt.Println(string(text))
}

// Departure runs a check that the reference is known to fail, or to die of.
func (c *Checks) Departure(name string, check func() error) {
	if !c.Reference {
		c.Check(name, check)
	}
}

// Must runs a check that everything else stands on, and ends the program when it fails.
func (c *Checks) Must(name string, check func() error) {
	before := c.failed
	c.run(name, check)
	if c.failed > before {
		c.Exit()
	}
}

// Exit ends the program, with status 1 when a check failed.
func (c *Checks) Exit() {
	if c.failed > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}

func guarded(check func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return check()
}

// Refused says whether a call was refused with this code and a text that contains this one.
func Refused(err error, code codes.Code, text string) error {
	if err == nil {
		return fmt.Errorf("accepted; want %s %q", code, text)
	}
	got := status.Convert(err)
	if got.Code() != code || !strings.Contains(got.Message(), text) {
		return fmt.Errorf("refused with %s %q; want %s %q", got.Code(), got.Message(), code, text)
	}
	return nil
}

// Refused says whether a call was refused with this code and a text that contains this one. The reference gives UNKNOWN
// to most refusals; where ours is more exact, UNKNOWN counts for the reference too.
func (c *Checks) Refused(err error, code codes.Code, text string) error {
	if c.Reference && status.Code(err) == codes.Unknown {
		code = codes.Unknown
	}
	return Refused(err, code, text)
}

// Equal says whether two values are deeply equal.
func Equal(got, want interface{}) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("got %v; want %v", got, want)
	}
	return nil
}

// First returns the first error of several steps that were all taken.
func First(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Holds turns a condition into an error with this text.
func Holds(condition bool, text string) error {
	if !condition {
		return errors.New(text)
	}
	return nil
}
