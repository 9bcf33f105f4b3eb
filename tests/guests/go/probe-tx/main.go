// The probe with transactions and paged listings, spoken as plugins built with OpenBao's SDK speak them.
//
// Vault's SDK knows neither, so what OpenBao adds to its protocol is added to its messages here, field by field.
package main

import (
	"context"
	"log"

	"cofferdam/guests/internal/probe"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		log.Fatal(err)
	}
}

func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	backend, err := probe.Factory(ctx, conf)
	return &transactional{Backend: backend}, err
}

// transactional lends the probe storage that has transactions, where the host's has them.
type transactional struct {
	logical.Backend
}

func (t *transactional) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	extended := &storage{Storage: req.Storage, conn: connection(req.Storage)}
	// OpenBao's SDK asks before each request.
	has, err := extended.isTransactional(ctx)
	if err != nil {
		return nil, err
	}
	if has {
		req.Storage = extended
	}
	return t.Backend.HandleRequest(ctx, req)
}

func (t *transactional) PluginVersion() logical.PluginVersion {
	return t.Backend.(logical.PluginVersioner).PluginVersion()
}
