// Counts twice: in memory, to show what a process forgets, and in storage, to show what lasts.
package main

import (
	"context"
	"log"
	"math"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

// totalKey is where the persisted count is.
const totalKey = "total"

type count struct {
	Count int64 `json:"count"`
}

type counter struct {
	reads atomic.Int64
	// total guards the read and the write that add to the persisted count: Vault's storage has no transactions.
	total sync.Mutex
}

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		log.Fatal(err)
	}
}

func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	c := new(counter)
	backend := &framework.Backend{
		BackendType:    logical.TypeLogical,
		RunningVersion: "v0.1.0",
		Help:           "Counts, in memory and in storage.",
		Paths: []*framework.Path{
			{
				Pattern:      "volatile",
				HelpSynopsis: "Counts its own reads, until this process goes.",
				Operations: map[logical.Operation]framework.OperationHandler{
					logical.ReadOperation: &framework.PathOperation{Callback: c.volatile},
				},
			},
			{
				Pattern:      "total",
				HelpSynopsis: "A count that lasts.",
				Fields: map[string]*framework.FieldSchema{
					"by": {Type: framework.TypeInt64, Default: int64(1), Description: "How much to add."},
				},
				Operations: map[logical.Operation]framework.OperationHandler{
					logical.ReadOperation:   &framework.PathOperation{Callback: c.read},
					logical.UpdateOperation: &framework.PathOperation{Callback: c.add},
				},
			},
		},
	}
	return backend, backend.Setup(ctx, conf)
}

func (c *counter) volatile(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return answer(count{c.reads.Add(1)})
}

func (c *counter) read(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	total, err := load(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	return answer(total)
}

func (c *counter) add(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	by := fields.Get("by").(int64)
	if by < 0 {
		return logical.ErrorResponse("field `by`: expected a number that is not negative"), nil
	}
	c.total.Lock()
	defer c.total.Unlock()
	total, err := load(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	if by > math.MaxInt64-total.Count {
		return logical.ErrorResponse("total would be too large to count"), nil
	}
	total.Count += by
	entry, err := logical.StorageEntryJSON(totalKey, total)
	if err != nil {
		return nil, err
	}
	if err := req.Storage.Put(ctx, entry); err != nil {
		return nil, err
	}
	return answer(total)
}

func answer(c count) (*logical.Response, error) {
	return &logical.Response{Data: map[string]any{"count": c.Count}}, nil
}

func load(ctx context.Context, storage logical.Storage) (count, error) {
	var total count
	entry, err := storage.Get(ctx, totalKey)
	if err != nil || entry == nil {
		return total, err
	}
	return total, entry.DecodeJSON(&total)
}
