// Package probe is the plugin that the contract is checked with, in Go: it tells what it sees of its mount, and does what it is
// asked to. The table in tests/contract holds it to the same answers as the probe in Rust.
//
// `seen` is what a request looks like from inside; `kv/…` stores, and says whether a write created; `tx/…` are stories of
// transactions, where the storage has them; `say/…` answers in each way that a plugin can; `fail/…` declines in each way;
// `memory` is what an instance remembers; `open/…` needs no token.
//
// It builds with the newest SDK and with one of 2023.
package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc/metadata"
)

// startsKey is where it is counted how often the mount was started.
const startsKey = "starts"

type probe struct {
	*framework.Backend
	options [][2]string
	reads   atomic.Uint64

	told        sync.Mutex
	invalidated []string // What it was told that somebody else changed.
}

// Factory makes the probe of one mount.
func Factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	p := &probe{
		Backend: &framework.Backend{
			BackendType:    logical.TypeLogical,
			RunningVersion: "v1.2.3",
			PathsSpecial:   &logical.Paths{Unauthenticated: []string{"open/*"}},
		},
		options: options(conf.Config),
	}
	return p, p.Setup(ctx, conf)
}

// options returns what the operator gave, in order, without what the host adds.
func options(config map[string]string) [][2]string {
	given := [][2]string{}
	for name, value := range config {
		if name != "plugin_name" && name != "plugin_type" && name != "plugin_version" {
			given = append(given, [2]string{name, value})
		}
	}
	slices.SortFunc(given, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return given
}

func (p *probe) Initialize(ctx context.Context, req *logical.InitializationRequest) error {
	starts, err := load[uint64](ctx, req.Storage, startsKey)
	if err != nil {
		return err
	}
	if starts == nil {
		starts = new(uint64)
	}
	return store(ctx, req.Storage, startsKey, *starts+1)
}

func (p *probe) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	switch req.Operation {
	case logical.HelpOperation:
		return answer("help", fmt.Sprintf("about %q", req.Path), "see_also", "")
	case logical.RenewOperation, logical.RevokeOperation:
		if req.Secret == nil {
			return nil, logical.ErrInvalidRequest
		}
		return answer("operation", req.Operation, "lease", req.Secret.InternalData)
	}
	what, rest, _ := strings.Cut(req.Path, "/")
	switch what {
	case "seen", "open":
		return p.seen(ctx, req)
	case "memory":
		return answer("reads", p.reads.Add(1))
	case "invalidated":
		p.told.Lock()
		defer p.told.Unlock()
		return answer("keys", p.invalidated)
	case "starts":
		starts, err := load[uint64](ctx, req.Storage, startsKey)
		if err != nil {
			return nil, err
		}
		return answer("starts", starts)
	case "kv":
		return kv(ctx, req, rest)
	case "tx":
		return story(ctx, req.Storage, rest)
	case "say":
		return say(rest)
	case "fail":
		return fail(rest)
	}
	return nil, logical.ErrUnsupportedPath
}

func (p *probe) InvalidateKey(_ context.Context, key string) {
	p.told.Lock()
	defer p.told.Unlock()
	p.invalidated = append(p.invalidated, key)
}

func (p *probe) HandleExistenceCheck(ctx context.Context, req *logical.Request) (bool, bool, error) {
	key, found := strings.CutPrefix(req.Path, "kv/")
	if !found {
		return false, false, nil
	}
	entry, err := req.Storage.Get(ctx, key)
	return true, entry != nil, err
}

func (p *probe) seen(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	data := req.Data
	if data == nil {
		data = map[string]any{}
	}
	// What Vault's protocol has no place for comes as metadata of the call.
	facts, _ := metadata.FromIncomingContext(ctx)
	system := p.System()
	return answer(
		"operation", req.Operation,
		"path", req.Path,
		"has_id", req.ID != "",
		"data", data,
		"mount_path", strings.Join(facts.Get("cofferdam-mount-path"), ","),
		"options", p.options,
		"ttls", []float64{system.DefaultLeaseTTL().Seconds(), system.MaxLeaseTTL().Seconds()},
		"caller", []string{req.DisplayName, req.EntityID, req.ClientTokenAccessor, address(facts, req.Connection)},
		"policies", append([]string{}, facts.Get("cofferdam-policies")...),
		"headers", [][]string{header(req, "X-Allowed"), header(req, "x-secret")},
	)
}

// address returns where the request came from. Vault's SDK loses the port on the way, so the whole address is among the facts.
func address(facts metadata.MD, connection *logical.Connection) string {
	if whole := facts.Get("cofferdam-remote-address"); len(whole) > 0 {
		return whole[0]
	}
	if connection == nil {
		return ""
	}
	return connection.RemoteAddr
}

// header returns the values of a header, whatever the case of its name.
func header(req *logical.Request, name string) []string {
	values := []string{}
	for key, some := range req.Headers {
		if strings.EqualFold(key, name) {
			values = append(values, some...)
		}
	}
	return values
}

func kv(ctx context.Context, req *logical.Request, key string) (*logical.Response, error) {
	switch req.Operation {
	case logical.ReadOperation:
		value, err := load[map[string]any](ctx, req.Storage, key)
		if err != nil || value == nil {
			return nil, err
		}
		return &logical.Response{Data: *value}, nil
	case logical.CreateOperation, logical.UpdateOperation, logical.PatchOperation:
		if err := store(ctx, req.Storage, key, req.Data); err != nil {
			return nil, err
		}
		return answer("operation", req.Operation)
	case logical.DeleteOperation:
		return nil, req.Storage.Delete(ctx, key)
	case logical.ListOperation:
		keys, err := list(ctx, req, key)
		if err != nil || len(keys) == 0 {
			return nil, err
		}
		return logical.ListResponse(keys), nil
	}
	return nil, logical.ErrUnsupportedOperation
}

// list reads a page where one is asked for. Vault's storage gives a whole listing only, so there the pages are cut here, and
// the host's limit on one does not show.
func list(ctx context.Context, req *logical.Request, prefix string) ([]string, error) {
	// However a number was written, Vault's SDK makes a float of it.
	asked, paged := req.Data["limit"].(float64)
	if !paged {
		return req.Storage.List(ctx, prefix)
	}
	limit := int(asked)
	after, _ := req.Data["after"].(string)
	if storage, ok := req.Storage.(Pager); ok {
		return storage.ListPage(ctx, prefix, after, limit)
	}
	keys, err := req.Storage.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return key <= after })
	if limit > 0 && limit < len(keys) {
		keys = keys[:limit]
	}
	return keys, nil
}

// answer returns a response with these fields: names and values in turn.
func answer(fields ...any) (*logical.Response, error) {
	data := make(map[string]any, len(fields)/2)
	for i := 0; i < len(fields); i += 2 {
		data[fields[i].(string)] = fields[i+1]
	}
	return &logical.Response{Data: data}, nil
}

// load returns the value of a key, or nil if there is none.
func load[T any](ctx context.Context, storage logical.Storage, key string) (*T, error) {
	entry, err := storage.Get(ctx, key)
	if err != nil || entry == nil {
		return nil, err
	}
	value := new(T)
	return value, entry.DecodeJSON(value)
}

func store(ctx context.Context, storage logical.Storage, key string, value any) error {
	entry, err := logical.StorageEntryJSON(key, value)
	if err != nil {
		return err
	}
	return storage.Put(ctx, entry)
}
