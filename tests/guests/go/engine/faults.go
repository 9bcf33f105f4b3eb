package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// stderr is the process's own. Once it is served, go-plugin sends os.Stderr to the host over gRPC.
var stderr = os.Stderr

// wait does not answer before another request opens the gate of that name, or the caller gives up.
func (e *engine) wait(ctx context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	fmt.Fprintln(stderr, "[INFO] a request waits at its gate")
	select {
	case <-e.gate(fields):
		return answer(map[string]any{"released": true}, nil)
	case <-ctx.Done():
		fmt.Fprintln(stderr, "[INFO] a request was given up:", ctx.Err())
		return nil, ctx.Err()
	}
}

func (e *engine) release(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	gate := e.gate(fields)
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-gate:
	default:
		close(gate)
	}
	return nil, nil
}

func (e *engine) gate(fields *framework.FieldData) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := fields.Get("arg").(string)
	if e.gates[name] == nil {
		e.gates[name] = make(chan struct{})
	}
	return e.gates[name]
}

// sleep takes a while, such as `sleep/300ms`, whatever the caller does.
func sleep(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	duration, err := time.ParseDuration(fields.Get("arg").(string))
	time.Sleep(duration)
	return answer(map[string]any{"slept": duration.String()}, err)
}

// big answers with as many MiB.
func big(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	mebibytes, err := strconv.Atoi(fields.Get("arg").(string))
	return answer(map[string]any{"blob": strings.Repeat("x", mebibytes<<20)}, err)
}

// print writes to everything that a plugin can write to.
func (e *engine) print(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	fmt.Println("a line on stdout")
	fmt.Fprintln(os.Stderr, "a line on the stderr that go-plugin serves")
	fmt.Fprintln(stderr, "a plain line")
	for _, level := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"} {
		fmt.Fprintf(stderr, "[%s] a plain line with its level\n", level)
	}
	fmt.Fprintln(stderr, strings.Repeat("long ", 20_000))
	logger := e.Logger().Named("engine")
	logger.Trace("a log line at trace", "n", 1, "quoted", `a "b"`)
	logger.Debug("a log line at debug", "n", 2)
	logger.Info("a log line at info", "n", 3)
	logger.Warn("a log line at warn", "n", 4)
	logger.Error("a log line at error", "n", 5)
	return nil, nil
}

// printMalformed writes what looks like a log line and is none. Vault's own host panics on the last of them.
func printMalformed(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	fmt.Fprintln(stderr, `{"@level":"info","@message":"no end`)
	fmt.Fprintln(stderr, `{"@level":"loud","@message":"no such level","@timestamp":"yesterday"}`)
	fmt.Fprintln(stderr, `{"@level":"info","@message":7}`)
	return nil, nil
}

func (e *engine) panic(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	panic("the engine was asked to panic")
}

// panicLater answers, and takes the process down when nobody asks it anything.
func (e *engine) panicLater(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	time.AfterFunc(50*time.Millisecond, func() { panic("the engine panics between two requests") })
	return nil, nil
}

func exit(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	code, err := strconv.Atoi(fields.Get("arg").(string))
	if err != nil {
		return nil, err
	}
	os.Exit(code)
	return nil, nil
}

// fork starts a process that outlives this one unless somebody ends the whole group.
func fork(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		return nil, err
	}
	return answer(map[string]any{"pid": child.Process.Pid}, child.Process.Release())
}
