package main

import (
	"context"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// items stores texts, and tells a write that creates from one that updates. `unfinished` leaves a write-ahead log entry behind,
// as a plugin does that dies halfway.
func (e *engine) items() *framework.Path {
	return &framework.Path{
		Pattern: "items/(?P<name>[^/]+)",
		Fields: map[string]*framework.FieldSchema{
			"name":       {Type: framework.TypeString},
			"value":      {Type: framework.TypeString},
			"unfinished": {Type: framework.TypeBool},
		},
		ExistenceCheck: func(ctx context.Context, req *logical.Request, _ *framework.FieldData) (bool, error) {
			entry, err := req.Storage.Get(ctx, req.Path)
			return entry != nil, err
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: &framework.PathOperation{Callback: writeItem},
			logical.UpdateOperation: &framework.PathOperation{Callback: writeItem},
			logical.ReadOperation:   &framework.PathOperation{Callback: readItem},
		},
	}
}

func writeItem(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	if fields.Get("unfinished").(bool) {
		_, err := framework.PutWAL(ctx, req.Storage, "item", req.Path)
		return answer(map[string]any{"operation": req.Operation}, err)
	}
	value := []byte(fields.Get("value").(string))
	err := req.Storage.Put(ctx, &logical.StorageEntry{Key: req.Path, Value: value})
	return answer(map[string]any{"operation": req.Operation}, err)
}

func readItem(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	value, err := text(ctx, req.Storage, req.Path)
	if err != nil || value == nil {
		return nil, err
	}
	return answer(map[string]any{"value": value}, nil)
}

// rollback marks what a rollback found unfinished.
func rollback(ctx context.Context, req *logical.Request, _ string, data any) error {
	return req.Storage.Put(ctx, &logical.StorageEntry{Key: "rolled-back", Value: []byte(data.(string))})
}

func rolledBack(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	path, err := text(ctx, req.Storage, "rolled-back")
	return answer(map[string]any{"path": path}, err)
}

const tokenType = "token"

// token is a kind of secret that is leased.
func token(e *engine) *framework.Secret {
	return &framework.Secret{
		Type:            tokenType,
		DefaultDuration: time.Minute,
		Renew: func(_ context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
			response := &logical.Response{Secret: req.Secret}
			response.Secret.TTL = 2 * time.Minute
			response.Secret.MaxTTL = time.Hour
			return response, nil
		},
		Revoke: func(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
			name, _ := req.Secret.InternalData["name"].(string)
			return nil, req.Storage.Put(ctx, &logical.StorageEntry{Key: "revoked", Value: []byte(name)})
		},
	}
}

// issue gives out a leased token.
func (e *engine) issue(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	name := fields.Get("name").(string)
	return e.Secret(tokenType).Response(map[string]any{"token": "t-" + name}, map[string]any{"name": name}), nil
}

// revoked answers whose token was revoked last.
func revoked(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	name, err := text(ctx, req.Storage, "revoked")
	return answer(map[string]any{"name": name}, err)
}
