// A secrets engine in Go, with Vault's own SDK: it stores what is written at any path, like Vault's key-value engine in its
// first version. Nothing in it is made for Cofferdam; the same binary runs in Vault and in OpenBao.
//
//	go build -o passthrough-go .
//
// The host starts the binary and talks to it over gRPC on a Unix socket; run by hand, it says so and ends.
package main

import (
	"context"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	// One process serves every mount of this plugin: the host names the mount with each call, and the SDK keeps a backend for
	// each.
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		hclog.Default().Error("the plugin cannot be served", "error", err)
		os.Exit(1)
	}
}

// factory makes the backend of one mount. Options and TTLs are in conf; storage comes with each request.
func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	backend := &framework.Backend{
		BackendType: logical.TypeLogical,
		Help:        "Stores arbitrary data at any path, and gives it back.",
		Paths: []*framework.Path{{
			Pattern: ".*",
			// Whatever is sent is the data, so no field is unknown.
			TakesArbitraryInput: true,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation:   &framework.PathOperation{Callback: read},
				logical.CreateOperation: &framework.PathOperation{Callback: write},
				logical.UpdateOperation: &framework.PathOperation{Callback: write},
				logical.DeleteOperation: &framework.PathOperation{Callback: remove},
				logical.ListOperation:   &framework.PathOperation{Callback: list},
			},
			ExistenceCheck:  exists,
			HelpSynopsis:    "Stores data at a path.",
			HelpDescription: "A write replaces all that was stored at the path; fields are not merged.",
		}},
	}
	return backend, backend.Setup(ctx, conf)
}

func read(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	entry, err := req.Storage.Get(ctx, req.Path)
	if err != nil {
		return nil, blamed(err)
	}
	if entry == nil {
		// No response at all is how a plugin says that nothing is there.
		return nil, nil
	}
	var data map[string]any
	if err := entry.DecodeJSON(&data); err != nil {
		return nil, err
	}
	return &logical.Response{Data: data}, nil
}

func write(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	if len(req.Data) == 0 {
		return logical.ErrorResponse("missing data fields"), nil
	}
	entry, err := logical.StorageEntryJSON(req.Path, req.Data)
	if err != nil {
		return nil, err
	}
	return nil, blamed(req.Storage.Put(ctx, entry))
}

func remove(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	return nil, blamed(req.Storage.Delete(ctx, req.Path))
}

func list(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	keys, err := req.Storage.List(ctx, folder(req.Path))
	if err != nil || len(keys) == 0 {
		return nil, blamed(err)
	}
	return logical.ListResponse(keys), nil
}

// exists tells the host whether a write creates or updates, which are different permissions.
func exists(ctx context.Context, req *logical.Request, _ *framework.FieldData) (bool, error) {
	entry, err := req.Storage.Get(ctx, req.Path)
	return entry != nil, blamed(err)
}

// folder returns a path as the prefix of what is below it. The mount itself has none.
func folder(path string) string {
	if path == "" || strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// blamed says whose fault a storage error is, which crosses to the plugin as a text alone: a key that no storage takes is the
// path that the client chose, and anything else is a failure.
func blamed(err error) error {
	if err != nil && strings.HasPrefix(err.Error(), "invalid key") {
		return logical.CodedError(http.StatusBadRequest, err.Error())
	}
	return err
}
