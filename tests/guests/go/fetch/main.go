// Asks its upstream over HTTP, as a plugin does that fetches keys: `read get url=…` answers with what came back. Which proxy it
// goes through is its environment's to say.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

// timeout bounds a request to the upstream.
const timeout = 30 * time.Second

// answerMax is the largest answer that is read, in bytes.
const answerMax = 1 << 16

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		log.Fatal(err)
	}
}

func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	backend := &framework.Backend{
		BackendType:    logical.TypeLogical,
		RunningVersion: "v1.0.0",
		Help:           "Asks an upstream.",
		Paths: []*framework.Path{{
			Pattern:      "get",
			Fields:       map[string]*framework.FieldSchema{"url": {Type: framework.TypeString, Description: "What is asked for."}},
			HelpSynopsis: "Answers with what is there.",
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.UpdateOperation: &framework.PathOperation{Callback: get},
			},
		}},
	}
	return backend, backend.Setup(ctx, conf)
}

func get(ctx context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fields.Get("url").(string), nil)
	if err != nil {
		return logical.ErrorResponse(err.Error()), nil
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"status": response.StatusCode, "body": string(body)}}, nil
}
