// A secrets engine that does what real ones do, and what they do when they fail: leases, write-ahead log, cached keys, raw
// answers, background work, and faults on request. Each path is one thing to try.
package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

// engine is what one mount has in memory.
type engine struct {
	*framework.Backend
	// ticks counts in the background from initialize to cleanup.
	ticks atomic.Int64
	stop  context.CancelFunc

	mu sync.Mutex
	// invalidated are the keys that the host said were changed elsewhere.
	invalidated []string
	// gates are what requests for `wait/…` stand at until `release/…` opens them.
	gates map[string]chan struct{}
}

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		log.Fatal(err)
	}
}

func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	e := &engine{gates: map[string]chan struct{}{}, stop: func() {}}
	e.Backend = &framework.Backend{
		BackendType:    logical.TypeLogical,
		RunningVersion: "v2.0.1",
		Help:           "Does what secrets engines do, and fails as they do.",
		PathsSpecial: &logical.Paths{
			Root:            []string{"root"},
			Unauthenticated: []string{"public", "public/+/door"},
			SealWrapStorage: []string{"sealed/"},
		},
		Secrets: []*framework.Secret{token(e)},
		Paths: []*framework.Path{
			e.items(),
			{
				Pattern: "creds/(?P<name>[^/]+)",
				Fields:  map[string]*framework.FieldSchema{"name": {Type: framework.TypeString}},
				Operations: map[logical.Operation]framework.OperationHandler{
					logical.ReadOperation: &framework.PathOperation{Callback: e.issue},
				},
			},
			at("revoked", revoked),
			at("rolled-back", rolledBack),
			at("invalidated", e.showInvalidated),
			at("started", e.started),
			at("raw", raw),
			at("root", here),
			at("public", here),
			at("public/[^/]+/door", here),
			at("system", e.system),
			at("store-forever", storeForever),
			at("background", background),
			at("pid", pid),
			at("env/(?P<arg>.+)", env),
			at("file/(?P<arg>.+)", file),
			at("wait/(?P<arg>.+)", e.wait),
			at("release/(?P<arg>.+)", e.release),
			at("sleep/(?P<arg>.+)", sleep),
			at("big/(?P<arg>[0-9]+)", big),
			at("print", e.print),
			at("print-malformed", printMalformed),
			at("panic", e.panic),
			at("panic-later", e.panicLater),
			at("exit/(?P<arg>[0-9]+)", exit),
			at("fork", fork),
		},
		InitializeFunc:    e.initialize,
		WALRollback:       rollback,
		WALRollbackMinAge: time.Nanosecond,
		Invalidate:        e.invalidate,
		Clean:             func(context.Context) { e.stop() },
	}
	return e, e.Setup(ctx, conf)
}

// at returns a path that answers to a read and to a write alike. What `arg` captures is its argument.
func at(pattern string, callback framework.OperationFunc) *framework.Path {
	operation := &framework.PathOperation{Callback: callback}
	return &framework.Path{
		Pattern: pattern,
		Fields:  map[string]*framework.FieldSchema{"arg": {Type: framework.TypeString}},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   operation,
			logical.UpdateOperation: operation,
		},
	}
}

// initialize writes to storage, and starts work that no request waits for.
func (e *engine) initialize(ctx context.Context, req *logical.InitializationRequest) error {
	background, stop := context.WithCancel(context.Background())
	e.stop = stop
	go func() {
		for background.Err() == nil {
			e.ticks.Add(1)
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return req.Storage.Put(ctx, &logical.StorageEntry{Key: "started", Value: []byte(strconv.Itoa(os.Getpid()))})
}

// started answers which process started this mount, and how far its background work is.
func (e *engine) started(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	by, err := text(ctx, req.Storage, "started")
	return answer(map[string]any{"by": by, "ticks": e.ticks.Load()}, err)
}

func (e *engine) invalidate(_ context.Context, key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.invalidated = append(e.invalidated, key)
}

func (e *engine) showInvalidated(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return answer(map[string]any{"keys": append([]string{}, e.invalidated...)}, nil)
}

// system shows what the host says of itself and of the mount.
func (e *engine) system(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	system := e.System()
	data := map[string]any{
		"default_ttl":       system.DefaultLeaseTTL().Seconds(),
		"max_ttl":           system.MaxLeaseTTL().Seconds(),
		"tainted":           system.Tainted(),
		"caching_disabled":  system.CachingDisabled(),
		"local_mount":       system.LocalMount(),
		"mlock":             system.MlockEnabled(),
		"replication_state": uint32(system.ReplicationState()),
	}
	if product, err := system.PluginEnv(ctx); err != nil {
		data["plugin_env"] = err.Error()
	} else {
		data["plugin_env"] = product.VaultVersion
	}
	_, err := system.GeneratePasswordFromPolicy(ctx, "no-such-policy")
	data["password"] = shown(err)
	_, err = system.ResponseWrapData(ctx, map[string]any{"k": "v"}, time.Minute, false)
	data["wrap"] = shown(err)
	_, err = system.EntityInfo("entity-1")
	data["entity"] = shown(err)
	_, err = system.GroupsForEntity("entity-1")
	data["groups"] = shown(err)
	return answer(data, nil)
}

func here(_ context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	return answer(map[string]any{"path": req.Path, "unauthenticated": req.Unauthenticated}, nil)
}

// raw answers what is not JSON: a byte that is no UTF-8 among them.
func raw(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return answer(map[string]any{
		logical.HTTPStatusCode:            202,
		logical.HTTPContentType:           "application/octet-stream",
		logical.HTTPRawBody:               []byte("a\x00\xffb"),
		logical.HTTPCacheControlHeader:    "no-store",
		logical.HTTPPragmaHeader:          "no-cache",
		logical.HTTPWWWAuthenticateHeader: "Basic",
	}, nil)
}

func pid(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return answer(map[string]any{"pid": os.Getpid()}, nil)
}

// env answers the value of a variable, or null.
func env(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	value, set := os.LookupEnv(fields.Get("arg").(string))
	if !set {
		return answer(map[string]any{"value": nil}, nil)
	}
	return answer(map[string]any{"value": value}, nil)
}

// file answers what is in a file, whose path is whole but for its first slash.
func file(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	text, err := os.ReadFile("/" + fields.Get("arg").(string))
	return answer(map[string]any{"text": string(text)}, err)
}

func answer(data map[string]any, err error) (*logical.Response, error) {
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: data}, nil
}

func shown(err error) any {
	if err == nil {
		return nil
	}
	return err.Error()
}

// text returns the value of a key, or nil where nothing is.
func text(ctx context.Context, storage logical.Storage, key string) (any, error) {
	entry, err := storage.Get(ctx, key)
	if err != nil || entry == nil {
		return nil, err
	}
	return string(entry.Value), nil
}
