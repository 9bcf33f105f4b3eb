// A small auth method: names and passwords that an operator writes to `users/…`, and a `login` that needs no token.
package main

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

// user is what is stored of one.
type user struct {
	Password string        `json:"password"`
	Policies []string      `json:"policies"`
	TTL      time.Duration `json:"ttl"`
}

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		log.Fatal(err)
	}
}

func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	name := &framework.FieldSchema{Type: framework.TypeString, Description: "The user's name."}
	password := &framework.FieldSchema{Type: framework.TypeString, Description: "The user's password."}
	backend := &framework.Backend{
		BackendType:    logical.TypeCredential,
		RunningVersion: "v1.0.0",
		Help:           "Logs in users with a password.",
		PathsSpecial:   &logical.Paths{Unauthenticated: []string{"login", "elsewhere"}, Root: []string{"users/*"}},
		AuthRenew:      renew,
		Paths: []*framework.Path{
			{
				Pattern: "users/(?P<name>[^/]+)",
				Fields: map[string]*framework.FieldSchema{
					"name":     name,
					"password": password,
					"policies": {Type: framework.TypeCommaStringSlice, Description: "What the user's tokens may do."},
					"ttl":      {Type: framework.TypeDurationSecond, Default: 60, Description: "How long a login lasts."},
				},
				Operations: map[logical.Operation]framework.OperationHandler{
					logical.UpdateOperation: &framework.PathOperation{Callback: write},
					logical.DeleteOperation: &framework.PathOperation{Callback: remove},
				},
			},
			{
				Pattern: "login",
				Fields:  map[string]*framework.FieldSchema{"name": name, "password": password},
				Operations: map[logical.Operation]framework.OperationHandler{
					logical.UpdateOperation:         &framework.PathOperation{Callback: login},
					logical.AliasLookaheadOperation: &framework.PathOperation{Callback: lookahead},
				},
			},
			{
				Pattern: "elsewhere",
				Operations: map[logical.Operation]framework.OperationHandler{
					logical.ReadOperation: &framework.PathOperation{Callback: redirect},
				},
			},
		},
	}
	return backend, backend.Setup(ctx, conf)
}

func write(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	entry, err := logical.StorageEntryJSON(key(fields), user{
		Password: fields.Get("password").(string),
		Policies: fields.Get("policies").([]string),
		TTL:      time.Duration(fields.Get("ttl").(int)) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	return nil, req.Storage.Put(ctx, entry)
}

func remove(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	return nil, req.Storage.Delete(ctx, key(fields))
}

func login(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	known, err := load(ctx, req.Storage, key(fields))
	if err != nil {
		return nil, err
	}
	given := fields.Get("password").(string)
	if known == nil || subtle.ConstantTimeCompare([]byte(known.Password), []byte(given)) == 0 {
		return nil, logical.CodedError(http.StatusForbidden, "wrong name or password")
	}
	name := fields.Get("name").(string)
	return &logical.Response{Auth: &logical.Auth{
		DisplayName:  name,
		Policies:     known.Policies,
		Metadata:     map[string]string{"name": name},
		Alias:        &logical.Alias{Name: name},
		InternalData: map[string]any{"key": key(fields)},
		LeaseOptions: logical.LeaseOptions{TTL: known.TTL, MaxTTL: time.Hour, Renewable: true},
	}}, nil
}

// lookahead names the alias that a login would have, and checks nothing.
func lookahead(_ context.Context, _ *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{Auth: &logical.Auth{Alias: &logical.Alias{Name: fields.Get("name").(string)}}}, nil
}

// renew extends a login by what the user's TTL is now, if there still is such a user.
func renew(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	key, ok := req.Auth.InternalData["key"].(string)
	if !ok {
		return nil, fmt.Errorf("this login has no internal data")
	}
	known, err := load(ctx, req.Storage, key)
	if err != nil {
		return nil, err
	}
	if known == nil {
		return nil, logical.CodedError(http.StatusForbidden, "this user is gone")
	}
	auth := *req.Auth
	auth.TTL = known.TTL
	return &logical.Response{Auth: &auth}, nil
}

func redirect(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{Redirect: "https://example.com/elsewhere"}, nil
}

func key(fields *framework.FieldData) string {
	return "users/" + fields.Get("name").(string)
}

func load(ctx context.Context, storage logical.Storage, key string) (*user, error) {
	entry, err := storage.Get(ctx, key)
	if err != nil || entry == nil {
		return nil, err
	}
	known := new(user)
	return known, entry.DecodeJSON(known)
}
