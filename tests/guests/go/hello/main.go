// Greets: `read greet/ada` answers `greeting: hello, ada`.
package main

import (
	"context"
	"log"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		log.Fatal(err)
	}
}

func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	backend := &framework.Backend{
		BackendType:    logical.TypeLogical,
		RunningVersion: "v0.1.0",
		Help:           "Greets whoever asks.",
		Paths: []*framework.Path{{
			Pattern:      "greet/(?P<name>.+)",
			Fields:       map[string]*framework.FieldSchema{"name": {Type: framework.TypeString, Description: "Who is greeted."}},
			HelpSynopsis: "Greets by name.",
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation: &framework.PathOperation{Callback: greet},
			},
		}},
	}
	return backend, backend.Setup(ctx, conf)
}

func greet(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{Data: map[string]any{"greeting": "hello, " + fields.Get("name").(string)}}, nil
}
